"""Tests of `trainers.reporting.comparison`."""

import numpy as np
import pytest

from tests.helpers import compared_runs
from trainers.comparison import summary
from trainers.reporting import comparison
from trainers.reporting import plots


@pytest.fixture(name="value", scope="module")
def _value():
  return {
      "command": ["python", "-m", "trainers.compare"],
      "recipe": {"network": "cifar_resnet8", "dataset": "digits"},
      **summary.summarize(compared_runs.results()),
  }


def test_page_takes_plain_networks_and_their_cascade():
  plain = [
      {**compared_runs.ungated(seed), "method": method}
      for method in ("ungated_longer", "cifar_resnet8")
      for seed in range(2)
  ]
  curve = [{"macs": m, "accuracy": 0.8} for m in (300.0, 1000.0)]
  curves = [{"validation": curve, "test": curve}]
  of_seed = {
      "dense_envelope": curves,
      "cascade": curves,
      "oracle": {"accuracy": 0.9, "macs": 500.0},
  }
  found = comparison.page(
      {
          "command": ["python", "-m", "trainers.compare"],
          "recipe": {"network": "cifar_resnet8", "dataset": "digits"},
          **summary.summarize(
              [*compared_runs.results(), *plain], {0: of_seed, 1: of_seed}
          ),
      }
  )
  for name in ("cascade - dense_envelope", "ungated_longer", "cifar_resnet8"):
    assert name in found


@pytest.fixture(name="drawn")
def _drawn(monkeypatch):
  """What is drawn, in place of drawing it: (function, args, kwargs)."""
  found = []

  def svg(*args, **kwargs):
    found.append((args[0], args[1:], kwargs))
    return "<svg/>"

  monkeypatch.setattr(plots, "svg", svg)
  return found


def test_methods_are_drawn_under_map_from_the_cheapest_on(value, drawn):
  comparison.methods_plot(value)
  ((function, (series,), options),) = drawn
  assert function is plots.accuracy_against_macs
  points = dict(series)
  assert list(points) == ["per_batch_dependent", "per_layer_dependent"]
  accuracies = [point["accuracy"] for point in points["per_batch_dependent"]]
  # Targets .4 and .6, each the mean of two seeds.
  np.testing.assert_allclose(sorted(accuracies), [0.80, 0.92])
  shares = [point["macs"] for point in points["per_batch_dependent"]]
  assert shares == sorted(shares)
  assert len(options["pruned"]) == 3
  np.testing.assert_allclose(
      options["ungated"]["accuracy"], np.mean(compared_runs.UNGATED)
  )
  assert options["order"] == [*points]
  assert options["standalone"] is False


def test_page_has_a_plot_of_the_open_rates_of_each_method(value, drawn):
  page = comparison.page(value)
  function, (rates,), options = drawn[-1]
  assert function is plots.open_rates
  assert options["rows"] == [
      "per_batch_dependent 0.4",
      "per_batch_dependent 0.6",
      "per_layer_dependent 0.4",
  ]
  assert options["columns"] == compared_runs.BLOCKS
  np.testing.assert_allclose(rates, [[1.0, 0.4]] * 3)
  assert "Comparison of cifar_resnet8 on digits" in page
  assert f"{len(value['cells'])} runs." in page


def test_curves_meet_at_equal_multiply_adds(value, drawn):
  comparison.page(value)
  _, (curves,), _ = drawn[1]
  found = {name: {p["macs"] for p in points} for name, points in curves}
  reached = {
      entry["macs_share"] for entry in value["equal_macs"] if entry["accuracy"]
  }
  assert reached and found["per_batch_dependent"] <= reached
