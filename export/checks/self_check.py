"""Comparison of an exported model, run in a fresh process, with Keras."""

import dataclasses
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from export import run_exported
from export.checks import check_requests
import pgates
from pgates.layers import gate_ops

# Decisions nearer to their threshold than this may fall either way.
_MARGIN = 1e-4
# Largest difference of float32 log-probabilities, and so of logits.
_TOLERANCE = 1e-4
_SMALLEST = 1e-6  # Below it, probabilities say little of logits.


class CheckFailed(Exception):
  """An exported model does not do what the Keras model does."""


@dataclasses.dataclass
class Report:
  """What a comparison found.

  Args:
    examples: answered.
    near_threshold: examples with a gate too near to its threshold to compare.
    largest_difference: of probabilities, over the compared examples.
    gate_agreement: share of equal decisions.
    accuracy: on the labelled examples.
  """

  examples: int
  near_threshold: int
  largest_difference: float
  gate_agreement: float
  accuracy: float


def run_fresh(model, requests):
  """Runs requests through an exported model in a process of its own.

  Args:
    model: path of a SavedModel or TF-Lite file.
    requests: name -> (signature, arrays by input).

  Returns:
    name -> arrays by output.

  Raises:
    CheckFailed: with what the process printed, if it failed.
  """
  with tempfile.TemporaryDirectory() as directory:
    asked, answered = (
        pathlib.Path(directory) / f"{name}.npz"
        for name in ("asked", "answered")
    )
    arrays = {
        f"{name}/{signature}/{argument}": value
        for name, (signature, inputs) in requests.items()
        for argument, value in inputs.items()
    }
    np.savez(asked, **arrays)
    # By its path, so that nothing of this project is imported.
    program = [sys.executable, run_exported.__file__]
    done = subprocess.run(
        [*program, str(model), str(asked), str(answered)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
      raise CheckFailed(
          f"{model} does not run (exit code {done.returncode}): "
          f"{done.stderr[-2000:]}"
      )
    answers = {}
    with np.load(answered) as arrays:
      for key in arrays:
        name, output = key.split("/")
        answers.setdefault(name, {})[output] = arrays[key]
    return answers


def compare(expected, received, thresholds, *, exact):
  """Compares answers with those of Keras.

  Args:
    expected: `logits`, `gates` and `gate_logits` of Keras, as arrays.
    received: `probabilities` and `gates` of the exported model.
    thresholds: [batch] probabilities, or None where no gate has one.
    exact: whether differences are an error (float32), or only reported.

  Returns:
    `(near_threshold, largest_difference, gate_agreement)`.

  Raises:
    CheckFailed: says what differs.
  """
  wanted = _softmax(expected["logits"])
  near = np.zeros(len(wanted), bool)
  if thresholds is not None:
    limits = np.array([gate_ops.threshold_logit(float(t)) for t in thresholds])
    distance = np.abs(expected["gate_logits"] - limits[:, None])
    near = np.any(distance < _MARGIN, axis=1)
  equal = expected["gates"] == received["gates"]
  agreement = float(np.mean(equal))
  clear = ~near
  difference = np.abs(wanted - received["probabilities"])[clear]
  largest = float(np.max(difference, initial=0.0))
  if not exact:
    return int(near.sum()), largest, agreement
  if not np.all(equal[clear]):
    example, gate = np.argwhere(~equal & clear[:, None])[0]
    raise CheckFailed(
        f"Gate {gate} of example {example} is "
        f"{received['gates'][example, gate]:.0f}, in Keras "
        f"{expected['gates'][example, gate]:.0f} (logit "
        f"{expected['gate_logits'][example, gate]:.6f})."
    )
  compared = (wanted > _SMALLEST) & clear[:, None]
  logs = np.log(wanted[compared]) - np.log(
      np.maximum(received["probabilities"][compared], 1e-30)
  )
  worst = float(np.max(np.abs(logs), initial=0.0))
  if not worst <= _TOLERANCE:
    raise CheckFailed(
        f"Logits differ by {worst:.2e} from Keras's; at most {_TOLERANCE} is "
        "rounding."
    )
  return int(near.sum()), largest, agreement


def _softmax(logits):
  logits = np.asarray(logits, np.float64)
  exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
  return exponents / exponents.sum(axis=-1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class Examples:
  """What an exported model is checked on.

  Args:
    images: float32 [n, height, width, channels], of the evaluation split.
    labels: int [n].
    center_crop: whether the middle is cut out of images, which differ in size.
  """

  images: np.ndarray
  labels: np.ndarray
  center_crop: bool = False


def check(path, variant, decided, examples):
  """Runs an exported model in a fresh process and compares it with Keras.

  Real images; made ones (noise, black, white); thresholds that open all
  gates, none, and a mixture; batches of one and odd ones; and every signature.

  Args:
    path: of the SavedModel or TF-Lite file.
    variant: a `variants.Variant`.
    decided: the `variants.Decided` that was exported.
    examples: `Examples`.

  Returns:
    A `Report`.

  Raises:
    CheckFailed: says what differs.
  """
  asked = check_requests.make(
      variant, decided, examples.images, center_crop=examples.center_crop
  )
  received = run_fresh(
      path, {name: (s, i) for name, (s, i, _) in asked.items()}
  )
  random = pgates.parse_strategy(decided.strategy)[0] in ("sampled", "ensemble")
  exact = variant.quantization == "none" and not random
  found = []
  for name, (_, inputs, expected) in asked.items():
    thresholds = inputs.get("threshold")
    if thresholds is None and decided.threshold is not None:
      thresholds = np.full(len(expected["logits"]), decided.threshold)
    answers = received[name]
    if answers["probabilities"].shape != expected["logits"].shape:
      raise CheckFailed(
          f"{name}: probabilities have the shape "
          f"{answers['probabilities'].shape}, in Keras "
          f"{expected['logits'].shape}."
      )
    try:
      found.append(compare(expected, answers, thresholds, exact=exact))
    except CheckFailed as error:
      raise CheckFailed(f"{path}, {name}: {error}") from error
  tests = [received[name] for name in asked if name.startswith("test")]
  first = np.concatenate([t["probabilities"] for t in tests]).argmax(axis=-1)
  return Report(
      examples=sum(
          len(expected["logits"]) for _, _, expected in asked.values()
      ),
      near_threshold=sum(near for near, _, _ in found),
      largest_difference=max(largest for _, largest, _ in found),
      gate_agreement=float(np.mean([agreement for _, _, agreement in found])),
      accuracy=float(np.mean(first == examples.labels)),
  )
