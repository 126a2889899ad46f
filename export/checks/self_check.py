"""Comparison of an exported model, run in a fresh process, with Keras."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from export import variants
from export.checks import check_requests
from export.checks import comparison
from export.checks import run_exported
from export.decisions import dropped_blocks
import image_data


@dataclasses.dataclass(frozen=True)
class Examples:
  """What an exported model is checked on.

  Args:
    images: float32 [n, height, width, channels], of the evaluation split.
    labels: int [n].
    preparation: that the images have come from, and that encoded ones get.
  """

  images: np.ndarray
  labels: np.ndarray
  preparation: image_data.EvaluationPreparation


@dataclasses.dataclass
class Report:
  """What comparing all answers found.

  Args:
    examples: answered.
    near_threshold: as in `comparison.Comparison`, summed.
    largest_difference: as in `comparison.Comparison`.
    gate_agreement: as in `comparison.Comparison`, on average.
    accuracy: on the labelled examples.
  """

  examples: int
  near_threshold: int
  largest_difference: float
  gate_agreement: float
  accuracy: float


def run_fresh(
    model: str | os.PathLike,
    requests: dict[str, tuple[str, check_requests.Arrays]],
) -> dict[str, check_requests.Arrays]:
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
    _run_exported(model, asked, answered)
    answers = {}
    with np.load(answered) as arrays:
      for key in arrays:
        name, output = key.split("/")
        answers.setdefault(name, {})[output] = arrays[key]
    return answers


def _run_exported(model, asked, answered):
  # By its path, so that nothing of this project is imported.
  program = [sys.executable, run_exported.__file__]
  done = subprocess.run(
      [*program, str(model), str(asked), str(answered)],
      capture_output=True,
      text=True,
      check=False,
  )
  if done.returncode:
    raise comparison.CheckFailed(
        f"{model} does not run (exit code {done.returncode}): "
        f"{done.stderr[-2000:]}"
    )


def check(
    path: str | os.PathLike,
    variant: variants.Variant,
    decided: dropped_blocks.Decided,
    examples: Examples,
) -> Report:
  """Runs an exported model in a fresh process and compares it with Keras.

  Real images; synthetic ones (noise, black, white); files of another size;
  thresholds that open all gates, none, and a mixture; batches of one and odd
  ones; and every signature.

  Args:
    path: of the SavedModel or TF-Lite file.
    variant: what was exported.
    decided: the network, with its gates decided.
    examples: to ask.

  Returns:
    A `Report`.

  Raises:
    CheckFailed: says what differs.
  """
  asked = check_requests.make(
      variant, decided, examples.images, preparation=examples.preparation
  )
  received = run_fresh(
      path, {name: (r.signature, r.inputs) for name, r in asked.items()}
  )
  is_random = decided.strategy.is_random
  exact = variant.quantization == "none" and not is_random
  found = []
  for name, request in asked.items():
    thresholds = _thresholds(request, decided.threshold)
    try:
      found.append(
          comparison.compare(
              request.expected,
              received[name],
              thresholds,
              nearby=request.nearby,
              exact=exact,
          )
      )
    except comparison.CheckFailed as error:
      raise comparison.CheckFailed(f"{path}, {name}: {error}") from error
  return _report(asked, received, found, examples.labels)


def _thresholds(request, threshold):
  """[batch] thresholds that a request is answered with, or None."""
  if "threshold" in request.inputs or threshold is None:
    return request.inputs.get("threshold")
  return np.full(len(request.expected["logits"]), threshold)


def _report(asked, received, found, labels):
  tests = [received[name] for name in asked if name.startswith("test")]
  first = np.concatenate([t["probabilities"] for t in tests]).argmax(axis=-1)
  near, differences, agreements = zip(*found, strict=True)
  return Report(
      examples=sum(len(each.expected["logits"]) for each in asked.values()),
      near_threshold=sum(near),
      largest_difference=max(differences),
      gate_agreement=float(np.mean(agreements)),
      accuracy=float(np.mean(first == labels)),
  )
