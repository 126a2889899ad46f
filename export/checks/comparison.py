"""Compares answers of an exported model with those of Keras."""

from typing import NamedTuple

import numpy as np
from scipy import special

from export.checks import check_requests
from pgates.layers import gate_ops

# Decisions nearer to their threshold than this may fall either way.
_MARGIN = 1e-4
# Largest difference of float32 log-probabilities, and so of logits.
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
    exact: bool,
) -> Comparison:
  """Compares answers with those of Keras.

  Args:
    expected: `logits` [batch, classes], `gates` and `gate_logits` [batch,
      blocks] of Keras.
    received: `probabilities` and `gates` of the exported model.
    thresholds: [batch] probabilities, or None where no gate has one.
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
  clear = _are_clear(expected["gate_logits"], thresholds)
  if exact:
    _check_gates(expected, received["gates"], clear)
    _check_logits(wanted[clear], probabilities[clear])
  difference = np.abs(wanted - probabilities)[clear]
  return Comparison(
      near_threshold=int(np.sum(~clear)),
      largest_difference=float(np.max(difference, initial=0.0)),
      gate_agreement=float(np.mean(expected["gates"] == received["gates"])),
  )


def _are_clear(gate_logits, thresholds):
  """Whether all gates of an example are away from their threshold, [batch]."""
  if thresholds is None:
    return np.ones(len(gate_logits), bool)
  limits = np.array([gate_ops.threshold_logit(float(t)) for t in thresholds])
  return ~np.any(np.abs(gate_logits - limits[:, None]) < _MARGIN, axis=1)


def _check_gates(expected, gates, clear):
  wrong = np.argwhere((expected["gates"] != gates) & clear[:, None])
  if len(wrong):
    example, gate = wrong[0]
    raise CheckFailed(
        f"Gate {gate} of example {example} is {gates[example, gate]:.0f}, in "
        f"Keras {expected['gates'][example, gate]:.0f} (logit "
        f"{expected['gate_logits'][example, gate]:.6f})."
    )


def _check_logits(wanted, received):
  """Compares what probabilities say of logits: their logarithms."""
  compared = wanted > _SMALLEST
  logs = np.log(wanted[compared]) - np.log(
      np.maximum(received[compared], 1e-30)
  )
  worst = float(np.max(np.abs(logs), initial=0.0))
  if not worst <= _TOLERANCE:
    raise CheckFailed(
        f"Logits differ by {worst:.2e} from Keras's; at most {_TOLERANCE} is "
        "rounding."
    )
