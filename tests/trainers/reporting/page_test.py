"""Tests of `trainers.reporting.page`."""

import base64
import re

import numpy as np
import tensorflow as tf

from trainers.reporting import measurements as report_measurements
from trainers.reporting import page as report_page
from trainers.reporting import plots as report_plots

PIXELS = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


def _decisions():
  return report_measurements.Decisions(
      gates=np.array([[True, False, True], [False, False, False]]),
      labels=np.array([0, 1]),
      predictions=np.array([0, 0]),
      macs=np.array([75, 20]),
      extremes={0: PIXELS, 1: 2 * PIXELS},
      cheapest=[1],
      most_expensive=[0],
  )


def test_example_shows_its_image_gates_and_cost():
  text = report_page.examples(_decisions(), [0], ["cat", "dog"], 100)
  (encoded,) = re.findall(r"data:image/png;base64,([^\"]+)", text)
  pixels = tf.io.decode_png(base64.b64decode(encoded)).numpy()
  np.testing.assert_array_equal(pixels, PIXELS)
  assert re.findall(r"<i( class=\"open\")?></i>", text) == [
      ' class="open"',
      "",
      ' class="open"',
  ]
  assert "2 of 3 gates open" in text
  assert "75 % of the MACs; cat<" in text and "truly" not in text


def test_wrong_answer_is_said():
  text = report_page.examples(_decisions(), [1], ["cat", "dog"], 100)
  assert '<span class="wrong">cat</span>, truly dog' in text


def test_what_comes_from_outside_is_text():
  evil = "<script>alert(1)</script>"
  parts = [
      report_page.section(evil, evil),
      report_page.table([evil], [[evil]]),
      report_page.settings({evil: evil}),
      report_page.examples(_decisions(), [0, 1], [evil, evil], 100),
      report_page.page(evil, []),
  ]
  for part in parts:
    assert "<script" not in part and "&lt;script&gt;" in part


def test_table_holds_its_cells_in_order():
  text = report_page.table(["name", "value"], [["a", "1"], ["b", "2"]])
  assert re.findall(r"<t[hd]>(\w+)</t[hd]>", text) == [
      "name",
      "value",
      "a",
      "1",
      "b",
      "2",
  ]


def test_page_names_every_colour_for_light_dark_and_print():
  text = report_page.page("title", ["body"])
  for name in ("ink", "page", *report_plots.COLORS):
    assert len(re.findall(rf"--{name}:", text)) >= 3, name
  assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_page_needs_nothing_else():
  text = report_page.page("title", [])
  assert not re.findall(r"(?:src|href)=|https?://|@import|url\(", text)
