"""Tests of `benchmarks.latency_plot`."""

import json
import pathlib

import pytest

from benchmarks import latency_plot


def _row(batch_size, share, ratios, engine="served"):
  times = {name: {"ratio": ratio} for name, ratio in ratios.items()}
  return {
      "batch_size": batch_size,
      "executed_share_of_macs": share,
      engine: times,
  }


ROWS = [
    _row(1, 1.0, {"all_open": 1.0, "dynamic": 1.1, "removed": 1.0}),
    _row(1, 0.5, {"all_open": 1.0, "dynamic": 0.7, "removed": 0.6}),
    _row(8, 0.5, {"all_open": 1.0, "dynamic": 0.8, "masked": 1.2}),
]


def test_series_are_the_points_of_one_engine_and_batch_size():
  assert latency_plot.series(ROWS, "served", 1) == {
      "dynamic": [(0.5, 0.7), (1.0, 1.1)],
      "removed": [(0.5, 0.6), (1.0, 1.0)],
  }
  assert latency_plot.series(ROWS, "tflite", 1) == {}


def test_each_engine_and_batch_size_has_a_panel_of_its_curves():
  result = {
      "network": "resnet",
      "weights": "random",
      "reference": "all_open",
      "image_shape": [32, 32, 3],
      "threads": 2,
      "rows": ROWS,
  }
  figure = latency_plot.draw(result)
  titles = [axis.get_title() for axis in figure.axes]
  assert titles == ["SavedModel, batch 1", "SavedModel, batch 8"]
  lines = {line.get_label(): line for line in figure.axes[1].get_lines()}
  assert list(lines["masked"].get_ydata()) == [1.2]
  assert list(lines["dynamic (ours)"].get_xdata()) == [0.5]
  assert "same blocks removed (limit)" not in lines
  for axis in figure.axes:  # Nothing is cut off.
    low, high = axis.get_ylim()
    drawn = [y for line in axis.get_lines() for y in line.get_ydata()]
    assert low == 0 and max(drawn) <= high


@pytest.mark.parametrize("name", ["latency.json"])
def test_committed_results_can_be_drawn(name):
  root = pathlib.Path(latency_plot.__file__).parent
  result = json.loads((root / "results" / name).read_text())
  assert latency_plot.series(result["rows"], "tflite", 1)["dynamic"]
  assert latency_plot.draw(result).axes
