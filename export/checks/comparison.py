"""Compares answers of an exported model with those of Keras."""

from typing import NamedTuple

import numpy as np
from scipy import special

from export.checks import check_requests
from pgates.layers import gate_ops

# Gates whose logit is nearer to the threshold than this may be either way, or
# nearer than what the network's own rounding makes of it.
_MARGIN = 1e-4
# Largest difference of float32 log-probabilities, and so of logits, where the
# network's own rounding makes none that is larger.
_TOLERANCE = 1e-4
_SMALLEST = 1e-6  # Below it, probabilities say little of logits.


class CheckFailed(Exception):
  """An exported model does not do what the Keras model does."""


class Comparison(NamedTuple):
  """What comparing one answer found.

  Attributes:
    near_threshold: examples with a gate too near to its threshold to compare.
    largest_difference: of probabilities, over the compared examples.
    gate_agreement: share of equal decisions.
  """

  near_threshold: int
  largest_difference: float
  gate_agreement: float


def compare(
    expected: check_requests.Arrays,
    received: check_requests.Arrays,
    thresholds: np.ndarray | None,
    *,
    nearby: check_requests.Arrays,
    exact: bool,
) -> Comparison:
  """Compares answers with those of Keras.

  Float32 rounds in each layer, differently in each program, and a network
  may magnify it a thousand times. Its answers to almost equal images show by
  how much, for each example.

  Args:
    expected: `logits` [batch, classes], `gates` and `gate_logits` [batch,
      blocks] of Keras.
    received: `probabilities` and `gates` of the exported model.
    thresholds: [batch] probabilities, or None where no gate has one.
    nearby: as `expected`, to images that are the same but for rounding.
    exact: whether differences are an error (float32), or only reported.

  Returns:
    A `Comparison`.

  Raises:
    CheckFailed: says what differs.
  """
  probabilities = received["probabilities"]
  if probabilities.shape != expected["logits"].shape:
    raise CheckFailed(
        f"Probabilities have the shape {probabilities.shape}, in Keras "
        f"{expected['logits'].shape}."
    )
  wanted = special.softmax(np.float64(expected["logits"]), axis=-1)
  clear = _are_clear(expected["gate_logits"], nearby["gate_logits"], thresholds)
  if exact:
    _check_gates(expected, received["gates"], clear)
    rounded = special.softmax(np.float64(nearby["logits"]), axis=-1)
    allowed = np.maximum(_TOLERANCE, _log_differences(wanted, rounded))
    _check_logits(wanted[clear], probabilities[clear], allowed[clear])
  difference = np.abs(wanted - probabilities)[clear]
  return Comparison(
      near_threshold=int(np.sum(~clear)),
      largest_difference=float(np.max(difference, initial=0.0)),
      gate_agreement=float(np.mean(expected["gates"] == received["gates"])),
  )


def _are_clear(gate_logits, nearby, thresholds):
  """Whether all gates of an example are away from their threshold, [batch]."""
  if thresholds is None:
    return np.ones(len(gate_logits), bool)
  limits = np.array([gate_ops.threshold_logit(float(t)) for t in thresholds])
  margins = np.maximum(_MARGIN, np.abs(gate_logits - nearby))
  return ~np.any(np.abs(gate_logits - limits[:, None]) < margins, axis=1)


def _check_gates(expected, gates, clear):
  wrong = np.argwhere((expected["gates"] != gates) & clear[:, None])
  if len(wrong):
    example, gate = wrong[0]
    raise CheckFailed(
        f"Gate {gate} of example {example} is {gates[example, gate]:.0f}, in "
        f"Keras {expected['gates'][example, gate]:.0f} (logit "
        f"{expected['gate_logits'][example, gate]:.6f})."
    )


def _log_differences(wanted, received):
  """[batch] largest differences of what probabilities say of logits."""
  logs = np.log(np.maximum(wanted, 1e-30)) - np.log(np.maximum(received, 1e-30))
  return np.max(np.abs(logs), axis=-1, initial=0.0, where=wanted > _SMALLEST)


def _check_logits(wanted, received, allowed):
  differences = _log_differences(wanted, received)
  wrong = np.flatnonzero(~(differences <= allowed))
  if len(wrong):
    worst = wrong[np.argmax(differences[wrong])]
    raise CheckFailed(
        f"Logits differ by {differences[worst]:.2e} from Keras's; at most "
        f"{allowed[worst]:.2g} is rounding."
    )
