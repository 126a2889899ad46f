"""Tests of `trainers.reporting.exports`."""

import numpy as np
import pytest

from trainers.reporting import exports

TABLE = [
    {
        "name": f"stage{i}_block0",
        "decision": decision,
        "open_rate": rate,
        "branch": 40.0 + i,
        "gate": 9.0,
        "accuracy": 0.9,
    }
    for i, (decision, rate) in enumerate(
        [("open", 1.0), ("deciding", 0.37), ("removed", 0.0)]
    )
]


def _row(gating, format, ratio, macs, **more):
  row = {
      "gating": gating,
      "format": format,
      "quantization": "none",
      "accuracy": 0.9876,
      "macs": macs,
      "bytes": 123_456,
      **more,
  }
  return row if ratio is None else {**row, "time_ratio": ratio}


EXPORTED = {
    "dataset": "digits",
    "references": [
        _row("ungated", "saved_model", 1.0, 1000),
        _row("all_open", "saved_model", 1.125, 1250),
    ],
    "limits": {"saved_model": 0.5},
    "variants": [
        _row("fixed", "saved_model", 1.25, 500),
        _row(
            "auto",
            "saved_model",
            0.75,
            600,
            auto={"table": TABLE, "unit": "us"},
        ),
    ],
}


def test_table_holds_each_file_beside_the_ungated_network():
  files, gates = exports.sections(EXPORTED)
  for words in (
      *("SavedModel ungated", "SavedModel all open", "SavedModel auto"),
      *("98.76 %", "123 kB", "by that of `ungated`", "limit: blocks removed<"),
  ):
    assert words in files
  assert "<td>0.75</td>" in files and "<svg" in files
  assert "37 % open" in gates and "branch 41 us" in gates


def test_bars_are_the_times_and_marks_the_shares_of_macs():
  ratios = [("SavedModel ungated", 1.0), ("a", 0.75), ("b", 1.25)]
  (axis,) = exports.time_ratios(
      ratios, [1.0, 0.6, None], [None, 0.5, 0.5], reference="ungated"
  ).axes
  assert [bar.get_width() for bar in axis.patches] == [1.0, 0.75, 1.25]
  # What is slower than the ungated network has a colour of its own.
  colors = [bar.get_facecolor() for bar in axis.patches]
  assert len(set(colors)) == 3
  (marks,) = [line for line in axis.lines if line.get_marker() == "|"]
  np.testing.assert_allclose(marks.get_xdata(), [1.0, 0.6])
  (limits,) = [line for line in axis.lines if line.get_marker() == "D"]
  np.testing.assert_allclose(limits.get_xdata(), [0.5, 0.5])
  np.testing.assert_allclose(limits.get_ydata(), [1, 2])
  assert axis.get_xlim()[1] > 1.25


def test_each_block_is_drawn_as_what_it_became():
  auto = {"table": TABLE, "unit": "us"}
  (axis,) = exports.blocks([("SavedModel", auto), ("TF-Lite", auto)]).axes
  styles = [
      (patch.get_linestyle(), patch.get_facecolor()) for patch in axis.patches
  ]
  assert len(styles) == 6 and len(set(styles[:3])) == 3
  assert styles[:3] == styles[3:]
  texts = [text.get_text() for text in axis.texts]
  assert sum("open\n" in text for text in texts) == 2
  assert [label.get_text() for label in axis.get_yticklabels()] == [
      *("SavedModel", "TF-Lite")
  ]


def test_what_older_exports_called_ungated_is_all_open():
  older = {
      "ungated": [_row("ungated", "tflite", 1.0, 1000)],
      "variants": [_row("auto", "tflite", 0.75, 600)],
  }
  (files,) = exports.sections(older)
  assert "TF-Lite all open" in files and "TF-Lite ungated" not in files
  assert "by that of `all open`" in files


@pytest.mark.parametrize("more", [{}, {"references": [], "limits": {}}])
def test_exports_that_were_not_timed_have_a_table_alone(more):
  untimed = {"variants": [_row("fixed", "tflite", None, 500)], **more}
  (files,) = exports.sections(untimed)
  assert "TF-Lite fixed" in files and "<svg" not in files
