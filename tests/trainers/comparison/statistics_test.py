"""Tests of `trainers.comparison.statistics`."""

import math

import numpy as np
import pytest
from scipy import stats

from trainers.comparison import statistics as statistics

OURS = [0.91, 0.89, 0.93, 0.90, 0.92]
THEIRS = [0.90, 0.90, 0.90, 0.87, 0.91]


def test_interval_is_that_of_the_paired_t_test():
  found = statistics.difference(OURS, THEIRS)
  expected = stats.ttest_rel(OURS, THEIRS).confidence_interval(0.95)
  assert found["n"] == 5
  assert found["mean"] == pytest.approx(0.014)
  assert found["low"] == pytest.approx(expected.low)
  assert found["high"] == pytest.approx(expected.high)


@pytest.mark.parametrize("count", [5, 20])
def test_detectable_difference_is_found_four_times_in_five(count):
  rng = np.random.default_rng(0)
  differences = rng.normal(size=count)
  found = statistics.difference(differences, np.zeros(count))
  # The power of the two-sided test, by the noncentral t distribution.
  error = differences.std(ddof=1) / math.sqrt(count)
  bound = stats.t(count - 1).ppf(0.975)
  shifted = stats.nct(count - 1, found["detectable"] / error)
  assert shifted.sf(bound) == pytest.approx(0.8, abs=0.03)


def test_one_pair_has_no_interval():
  assert statistics.difference([0.5], [0.25]) == {"mean": 0.25, "n": 1}


def test_spread_is_the_deviation_of_a_sample():
  assert statistics.spread([1.0, 3.0]) == {
      "mean": 2.0,
      "std": pytest.approx(math.sqrt(2)),
      "n": 2,
  }
  assert statistics.spread([4]) == {"mean": 4.0, "std": None, "n": 1}


def _curve(*points):
  return [{"macs": macs, "accuracy": accuracy} for macs, accuracy in points]


@pytest.mark.parametrize(
    ("macs", "accuracy"),
    [
        (10, 0.5),
        (15, 0.6),
        (20, 0.7),
        (26, 0.76),
        (30, 0.8),
        (9, None),
        (31, None),
    ],
)
def test_accuracy_lies_on_the_line_between_two_thresholds(macs, accuracy):
  curve = _curve((30, 0.8), (10, 0.5), (20, 0.7))
  assert statistics.accuracy_at(curve, macs) == (
      None if accuracy is None else pytest.approx(accuracy)
  )


def test_network_is_chosen_on_validation_data():
  curves = [
      {
          "validation": _curve((0, 0.6), (10, 0.8)),
          "test": _curve((0, 0.5), (10, 0.7)),
      },
      {
          "validation": _curve((0, 0.5), (10, 0.7)),
          "test": _curve((0, 0.9), (10, 0.9)),
      },
      # Does not reach so far on test data.
      {
          "validation": _curve((0, 1.0), (10, 1.0)),
          "test": _curve((0, 1.0), (4, 1.0)),
      },
  ]
  assert statistics.chosen_accuracy_at(curves, 5) == pytest.approx(0.6)
  assert statistics.chosen_accuracy_at(curves, 4) == pytest.approx(1.0)
  assert statistics.chosen_accuracy_at(curves, 11) is None
