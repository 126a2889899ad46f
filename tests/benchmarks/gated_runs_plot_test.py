"""Tests of `benchmarks.gated_runs_plot`."""

import numpy as np

from benchmarks import gated_runs_plot
from tests.helpers import result_shapes


def _committed():
  return result_shapes.committed("gated_cluttered_digits.json")


def test_points_are_those_of_each_seed():
  result = _committed()
  found = gated_runs_plot.points(result["seeds"], "served", "saved_model", 8)
  assert all(len(pairs) == 5 for pairs in found.values())
  assert {time for time, _ in found["ungated"]} == {1.0}
  (row,) = (r for r in result["seeds"][3]["rows"] if r["batch_size"] == 8)
  assert found["auto"][3] == (
      row["served"]["auto"]["ratio"],
      100 * row["networks"]["saved_model"]["auto"]["accuracy"],
  )


def test_means_are_those_of_the_summary():
  result = _committed()
  figure = gated_runs_plot.draw(result)
  titles = [axis.get_title() for axis in figure.axes]
  assert titles == ["SavedModel, batch 1", "SavedModel, batch 8", "TF-Lite"]
  lines = {line.get_label(): line for line in figure.axes[2].get_lines()}
  summary = result["summary"]
  np.testing.assert_allclose(
      lines["auto (default)"].get_xydata(),
      [
          [
              summary["time"]["tflite_1"]["auto"]["mean"],
              100 * summary["accuracy"]["tflite_1"]["auto"]["mean"],
          ]
      ],
  )
