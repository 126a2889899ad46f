"""Tests of `benchmarks.time_curves`."""

import pytest

from benchmarks import time_curves
from trainers.comparison import statistics


def network(kind, group, time, test, validation=None):
  return {
      "kind": kind,
      "group": group,
      "engines": {
          "served_1": {
              "time": time,
              "accuracy": {
                  "test": test,
                  "validation": test if validation is None else validation,
              },
          }
      },
  }


def seed(shift=0.0):
  return {
      "networks": {
          "small": network("dense", "dense", 0.3, 0.80 + shift),
          "ungated": network("dense", "dense", 1.0, 0.94 + shift),
          "first, 10 %": network("cascade", "first", 0.4, 0.90),
          "first, 50 %": network("cascade", "first", 0.8, 0.92),
          # Better on test data alone, which must not choose it.
          "other, 10 %": network("cascade", "other", 0.4, 0.99, 0.5),
          "other, 50 %": network("cascade", "other", 0.8, 0.99, 0.5),
          "gated_0.5": network("gated", "gated", 0.6, 0.93 - shift),
          "gated_0.9": network("gated", "gated", 1.2, 0.95),
      }
  }


def test_networks_of_a_group_are_one_curve():
  found = time_curves.curves(seed()["networks"], "cascade", "served_1")
  assert len(found) == 2
  assert [point["macs"] for point in found[0]["test"]] == [0.4, 0.8]
  assert [point["accuracy"] for point in found[1]["validation"]] == [0.5, 0.5]


def test_gated_networks_are_held_against_both_at_their_own_time():
  seeds = [seed(), seed(0.01)]
  found = time_curves.summarize(seeds)["served_1"]["gated"]["gated_0.5"]
  # On the line from 0.3 to 1.0, and half-way from 0.4 to 0.8.
  line = 0.80 + 0.14 * 3 / 7
  expected = statistics.difference([0.93, 0.92], [line, line + 0.01])
  assert found["minus_dense"] == pytest.approx(expected)
  expected = statistics.difference([0.93, 0.92], [0.91, 0.91])
  assert found["minus_cascade"] == pytest.approx(expected)


def test_what_takes_longer_than_all_baselines_is_not_held_against_them():
  found = time_curves.summarize([seed()])["served_1"]["gated"]["gated_0.9"]
  assert found == {"minus_dense": None, "minus_cascade": None}


def test_baselines_meet_at_shares_of_time():
  found = time_curves.summarize([seed(), seed(0.01)])["served_1"]["at_time"]
  by_share = {each["time"]: each for each in found}
  assert by_share[0.6]["cascade"]["mean"] == pytest.approx(0.91)
  line = 0.80 + 0.14 * 3 / 7
  assert by_share[0.6]["dense"]["mean"] == pytest.approx(line + 0.005)
  assert by_share[0.6]["cascade_minus_dense"]["mean"] == pytest.approx(
      0.91 - line - 0.005
  )
  # No cascade is so slow.
  assert by_share[0.9]["cascade"] is None
  assert by_share[0.9]["cascade_minus_dense"] is None


def test_each_network_has_its_time_and_accuracy():
  found = time_curves.summarize([seed(), seed(0.01)])["served_1"]["networks"]
  assert found["ungated"]["time"] == statistics.spread([1.0, 1.0])
  assert found["ungated"]["accuracy"] == pytest.approx(
      statistics.spread([0.94, 0.95])
  )
