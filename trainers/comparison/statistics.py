"""Paired differences over seeds, and curves that seeds are compared on."""

from collections.abc import Sequence
import math

import numpy as np
from scipy import stats

_POWER = 0.8


def difference(
    ours: Sequence[float], theirs: Sequence[float]
) -> dict[str, float]:
  """The mean of `ours - theirs`, pair by pair, with its uncertainty.

  Args:
    ours: list of numbers, one a seed.
    theirs: the same of the other method, in the same order of seeds.

  Returns:
    A dict: `mean`; `low` and `high`, the 95 % interval of Student's t; `n`;
    `detectable`, the smallest true difference that a two-sided test at 5 %
    would have found with probability 0.8. With one pair, only `mean` and `n`.
  """
  differences = np.asarray(ours, float) - np.asarray(theirs, float)
  count = len(differences)
  result = {"mean": float(differences.mean()), "n": count}
  if count < 2:
    return result
  error = differences.std(ddof=1) / math.sqrt(count)
  student = stats.t(count - 1)
  half = student.ppf(0.975) * error
  return {
      **result,
      "low": float(result["mean"] - half),
      "high": float(result["mean"] + half),
      "detectable": float(half + student.ppf(_POWER) * error),
  }


def spread(values: Sequence[float]) -> dict[str, float | None]:
  """`{"mean", "std", "n"}` of numbers; the deviation is None for one."""
  values = np.asarray(values, float)
  deviation = float(values.std(ddof=1)) if len(values) > 1 else None
  return {"mean": float(values.mean()), "std": deviation, "n": len(values)}


def accuracy_at(curve: list[dict[str, float]], macs: float) -> float | None:
  """Accuracy of a network at a number of multiply-adds.

  Between two measured thresholds, some examples may be decided by one and the
  rest by the other: so the line between two points can be reached.

  Args:
    curve: list of dicts of `accuracy` and `macs`, one a threshold.
    macs: executed multiply-adds per example.

  Returns:
    The accuracy, or None if the curve does not reach so far.
  """
  points = sorted((point["macs"], point["accuracy"]) for point in curve)
  if not points[0][0] <= macs <= points[-1][0]:
    return None
  found, accuracies = np.array(points).T
  return float(np.interp(macs, found, accuracies))


def chosen_accuracy_at(
    curves: list[dict[str, list[dict[str, float]]]], macs: float
) -> float | None:
  """Test accuracy at a number of multiply-adds, by the best of some networks.

  Which network is chosen (they differ in the target they were trained to) is
  decided by accuracy on validation data.

  Args:
    curves: list of `{"validation": curve, "test": curve}`.
    macs: executed multiply-adds per example.

  Returns:
    The accuracy, or None if no curve reaches so far.
  """
  best = None
  for curve in curves:
    pair = [accuracy_at(curve[name], macs) for name in ("validation", "test")]
    if None not in pair and (best is None or pair[0] > best[0]):
      best = pair
  return None if best is None else best[1]
