"""Tests of `trainers.reporting.plots`."""

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest

from trainers.reporting import plots as report_plots

POINTS = [
    {"macs": 0.7, "accuracy": 0.91},
    {"macs": 0.6, "accuracy": 0.8, "accuracy_std": 0.05},
]


def test_front_is_what_no_other_point_beats():
  rng = np.random.default_rng(0)
  points = [tuple(p) for p in rng.integers(0, 6, (40, 2)).tolist()]
  expected = {
      p
      for p in points
      if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)
  }
  front = report_plots.pareto_front(points)
  assert set(front) == expected
  for before, after in itertools.pairwise(front):
    assert before[0] < after[0] and before[1] < after[1]


def _drawn(figure):
  """label -> points, and label -> ends of the vertical bars, in percent."""
  (axis,) = figure.axes
  points, bars = {}, {}
  handles, labels = axis.get_legend_handles_labels()
  for handle, label in zip(handles, labels, strict=True):
    line, *_ = getattr(handle, "lines", [handle])
    points[label] = np.array(line.get_data(), float).T.round(6).tolist()
    for collection in getattr(handle, "lines", [None, None, ()])[2]:
      ends = [segment[:, 1].round(6) for segment in collection.get_segments()]
      bars[label] = [end.tolist() for end in ends]
  return points, bars


def test_points_curve_pruned_and_ungated_are_drawn_in_percent():
  figure = report_plots.accuracy_against_macs(
      [("map", POINTS[:1]), ("sampled", POINTS[1:])],
      pruned=[{"macs": 0.5, "accuracy": 0.85}],
      curve=[{"macs": 0.9, "accuracy": 0.92}, {"macs": 0.1, "accuracy": 0.3}],
      ungated={"macs": 1.0, "accuracy": 0.95},
  )
  points, bars = _drawn(figure)
  assert points == {
      "map": [[70, 91]],
      "sampled": [[60, 80]],
      "pruned": [[50, 85]],
      "thresholds 0 to 1": [[10, 30], [90, 92]],
      "ungated network": [[100, 95]],
      "Pareto front": [[50, 85], [70, 91], [100, 95]],
  }
  assert bars == {"sampled": [[75, 85]]}
  # Of all points, but not of the far end of the curve.
  (axis,) = figure.axes
  assert 10 < axis.get_xlim()[0] < 50
  assert 30 < axis.get_ylim()[0] < 80


def test_a_label_looks_the_same_in_plots_of_one_order():
  def colors(labels):
    figure = report_plots.accuracy_against_macs(
        [(label, POINTS) for label in labels], order=["a", "b", "c"]
    )
    handles, found = figure.axes[0].get_legend_handles_labels()
    return {
        label: handle.lines[0].get_color()
        for handle, label in zip(handles, found, strict=True)
        if label in labels
    }

  everything = colors(["a", "b", "c"])
  assert len(set(everything.values())) == 3
  assert colors(["c", "b"]) == {k: everything[k] for k in ("b", "c")}


def test_heat_map_holds_the_rates_under_their_names():
  rates = np.array([[0.0, 0.25, 1.0], [0.5, np.nan, 0.75]])
  figure = report_plots.open_rates(rates, rows=["a", "b"], columns=list("xyz"))
  axis = figure.axes[0]
  np.testing.assert_array_equal(
      axis.images[0].get_array().filled(np.nan), 100 * rates
  )
  assert axis.images[0].get_clim() == (0, 100)
  figure.draw_without_rendering()
  assert [t.get_text() for t in axis.get_yticklabels()] == ["a", "b"]
  assert [t.get_text() for t in axis.get_xticklabels()] == ["x", "y", "z"]
  written = {t.get_position(): t.get_text() for t in axis.texts}
  assert written == {
      (0, 0): "0",
      (1, 0): "25",
      (2, 0): "100",
      (0, 1): "50",
      (2, 1): "75",
  }


def test_names_of_many_blocks_are_thinned_evenly():
  names = [f"block{i}" for i in range(54)]
  figure = report_plots.open_rates(
      np.zeros((54, 300)), rows=names, columns=[str(i) for i in range(300)]
  )
  figure.draw_without_rendering()
  axis = figure.axes[0]
  assert [t.get_text() for t in axis.get_yticklabels()] == names[::2]
  assert not axis.texts


def test_distribution_counts_every_example_and_marks_the_mean():
  shares = [0.2, 0.2, 0.5, 0.7]
  (axis,) = report_plots.macs_of_examples(shares).axes
  assert sum(patch.get_height() for patch in axis.patches) == 4
  (line,) = axis.get_lines()
  assert line.get_xdata()[0] == pytest.approx(40)


def test_svg_takes_its_colours_from_the_page():
  text = report_plots.svg(
      report_plots.accuracy_against_macs,
      [("map", POINTS)],
      label='Accuracy & "MACs"',
  )
  root = ElementTree.fromstring(text)  # Well-formed, and nothing around it.
  assert root.tag.endswith("svg")
  assert root.get("role") == "img"
  assert root.get("aria-label") == 'Accuracy & "MACs"'
  assert "currentColor" in text and "var(--blue)" in text
  assert "#010203" not in text and report_plots.COLORS["blue"] not in text
  # Words, not outlines of letters.
  assert ">map</text>" in text.replace("\n", "")
  # No ground of its own.
  assert "#ffffff" not in text


def test_svg_is_the_same_each_time():
  texts = {
      report_plots.svg(report_plots.macs_of_examples, [0.1, 0.5], label="x")
      for _ in range(2)
  }
  assert len(texts) == 1
