"""Tests of `trainers.reporting.run`."""

import re

import numpy as np
import pytest

from tests.helpers import compared_runs
from trainers.reporting import measurements
from trainers.reporting import plots
from trainers.reporting import run as report_run

NAMES = ("map", "threshold:.30", "ensemble:5", "prune:0.5", "top_k:1")


def _run(**evaluation):
  strategies = {
      name: compared_runs.strategy(0.9 - 0.1 * index, macs=100.0 * (index + 1))
      for index, name in enumerate(NAMES)
  }
  return report_run.Run(
      name="folder",
      settings={"network": "cifar_resnet8", "dataset": "digits"},
      evaluation={
          "dataset": "digits",
          "split": "test",
          "examples": 300,
          "dense_macs": 1000,
          "strategies": strategies,
          "gates": [{"name": name} for name in compared_runs.BLOCKS],
          **evaluation,
      },
      history=[{"epoch": 1, "gate_open_rates": [1.0, 0.5]}],
      classes=["cat", "dog"],
  )


@pytest.fixture(name="drawn")
def _drawn(monkeypatch):
  """What is drawn, in place of drawing it: (function, args, kwargs)."""
  found = []

  def svg(*args, **kwargs):
    found.append((args[0], args[1:], kwargs))
    return "<svg/>"

  monkeypatch.setattr(plots, "svg", svg)
  return found


def _decisions():
  return measurements.Decisions(
      gates=np.array([[True, False], [False, False], [True, True]]),
      labels=np.array([0, 1, 1]),
      predictions=np.array([0, 0, 1]),
      macs=np.array([500, 250, 1000]),
      extremes={i: np.zeros((2, 2, 1), np.uint8) for i in (1, 2)},
      cheapest=[1],
      most_expensive=[2],
  )


def test_each_strategy_is_drawn_as_what_it_is(drawn):
  page = report_run.page(_run(), decisions=None)
  ((function, (series,), options),) = drawn
  assert function is plots.accuracy_against_macs
  # Blocks dropped for all inputs are a group; an ensemble has no room.
  assert [name for name, _ in series] == ["map", "threshold:.30"]
  assert series[0][1] == [{"macs": 0.1, "accuracy": 0.9, "accuracy_std": None}]
  shares = [round(point["macs"], 6) for point in options["pruned"]]
  assert shares == [0.4, 0.5]
  assert options["ungated"] is None and options["curve"] == []
  # The table has all of them.
  assert re.findall(r"<tr><td>([a-z_]+[:.\d]*)</td>", page)[:5] == [*NAMES]
  assert "has no gates" in page and "cifar_resnet8 on digits: folder" in page


def test_ungated_network_counts_as_all_multiply_adds(drawn):
  ungated = {
      "dense_macs": 2000,
      "strategies": {"always_open": compared_runs.strategy(0.95, macs=2000.0)},
  }
  page = report_run.page(_run(), decisions=None, ungated=ungated)
  ((_, (series,), options),) = drawn
  assert series[0][1][0]["macs"] == 0.05
  assert (options["ungated"]["macs"], options["ungated"]["accuracy"]) == (
      1.0,
      0.95,
  )
  assert "in % of 2,000" in page
  first = re.search(r"<tr><td>\(ungated network\)</td>.*?</tr>", page)[0]
  assert "95.00 %" in first and "100.0" in first
  assert page.index(first) < page.index("<td>map</td>")


def test_all_parts_count_in_the_multiply_adds_of_the_ungated_network(drawn):
  ungated = {
      "dense_macs": 2000,
      "strategies": {"always_open": compared_runs.strategy(0.95, macs=2000.0)},
  }
  page = report_run.page(_run(), decisions=_decisions(), ungated=ungated)
  np.testing.assert_allclose(drawn[-1][1], [[0.25, 0.125, 0.5]])
  assert re.findall(r"(\d+) % of the MACs", page) == ["12", "50"]


def test_threshold_curve_of_the_test_split_is_drawn(drawn):
  curves = {
      "validation": [{"macs": 1.0, "accuracy": 0.1}],
      "test": [{"macs": 600.0, "accuracy": 0.7}],
  }
  report_run.page(_run(threshold_curves=curves), decisions=None)
  ((_, _, options),) = drawn
  (point,) = options["curve"]
  assert (point["macs"], point["accuracy"]) == (0.6, 0.7)


def test_gates_are_shown_by_epoch_class_and_example(drawn):
  page = report_run.page(_run(), decisions=_decisions())
  _, (_, epochs, epoch_options), (_, classes, _), (_, macs, _) = drawn
  assert epochs[0] == [(1.0,), (0.5,)]
  assert epoch_options["columns"] == ["1"]
  np.testing.assert_allclose(classes[0], [[1, 0], [0.5, 0.5]])
  np.testing.assert_allclose(macs[0], [0.5, 0.25, 1.0])
  assert "The gates form 3 different patterns" in page
  cheapest, expensive = re.findall(r"(\d+) % of the MACs", page)
  assert (cheapest, expensive) == ("25", "100")
