"""Tests of `trainers.reporting.acceleration`."""

import numpy as np

from tests.helpers import accelerations
from trainers.reporting import acceleration

ROWS = [
    accelerations.row("given", "saved_model", 1.0, 1000.0, 0.95),
    accelerations.row(
        "rate_0.6", "saved_model", 0.75, 600.0, 0.94, chosen=True
    ),
    accelerations.row("rate_0.4", "saved_model", 0.5, 400.0, 0.9),
    accelerations.row("given", "tflite", 1.0, 1000.0, 0.95, chosen=True),
    accelerations.row("rate_0.6", "tflite", 1.5, 700.0, 0.94),
]
VALUE = {"lowest_accuracy": 0.935, "rows": ROWS}


def _marks(axis):
  """Place and height of each network, the rings around those chosen apart."""
  lines = [line for line in axis.lines if len(line.get_xdata()) == 1]
  rings = [line for line in lines if line.get_markerfacecolor() == "none"]
  networks = [line for line in lines if line not in rings]
  return [
      [(*line.get_xdata(), *line.get_ydata()) for line in kind]
      for kind in (networks, rings)
  ]


def test_files_lie_at_their_time_multiply_adds_and_accuracy():
  by_time, by_macs = acceleration.tried(ROWS, lowest_accuracy=0.935).axes
  for axis, places in (
      (by_time, [1.0, 0.75, 0.5, 1.0, 1.5]),
      (by_macs, [1.0, 0.6, 0.4, 1.0, 0.7]),
  ):
    networks, rings = _marks(axis)
    heights = [95, 94, 90, 95, 94]
    np.testing.assert_allclose(networks, [*zip(places, heights, strict=True)])
    np.testing.assert_allclose(rings, [(places[1], 94), (places[3], 95)])
    (bound,) = [line for line in axis.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(bound.get_ydata(), 93.5)


def test_table_holds_each_file_by_the_given_network():
  html = acceleration.section(VALUE)
  cells = (
      *("SavedModel rate_0.6", "94.00 %", "93.00 %", "60.0 %", "0.75", "0.80"),
      *("123 kB", "chosen"),
  )
  assert "".join(f"<td>{cell}</td>" for cell in cells) in html
  assert html.count("<td>chosen</td>") == 2 and "<svg" in html
