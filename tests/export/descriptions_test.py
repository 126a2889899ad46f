"""Tests of `export.descriptions`."""

from export import descriptions
from export import variants


def _row(gating, format, quantization="none", **more):
  return {
      "gating": gating,
      "format": format,
      "quantization": quantization,
      "accuracy": 0.9876,
      "keras_accuracy": 0.9875,
      "macs": 1234567.4,
      "bytes": 45678,
      **more,
  }


def test_titles_are_words():
  for row, title in (
      (_row("all_open", "saved_model"), "saved_model all open"),
      (_row("fixed", "tflite", "int8"), "tflite fixed int8"),
  ):
    variant = descriptions.variant_of(row)
    assert descriptions.title(variant) == title
  assert variant == variants.Variant("fixed", "tflite", "int8")


def test_table_has_what_files_are_compared_with_first_and_says_what_it_is(
    capsys,
):
  found = {"largest_difference": 1e-6, "gate_agreement": 1.0}
  descriptions.print_table(
      {
          "references": [
              _row("ungated", "tflite", time_ratio=1.0),
              _row("all_open", "tflite", time_ratio=1.125),
          ],
          "variants": [
              _row("auto", "saved_model", **found),
              _row("auto", "tflite", time_ratio=0.75, **found),
          ],
      }
  )
  header, *lines = capsys.readouterr().out.splitlines()
  assert header.split()[:4] == ["variant", "accuracy", "MACs", "time"]
  rows = [line.split() for line in lines[:4]]
  assert rows[0][:5] == ["saved_model", "auto", "98.76%", "1,234,567", "45,678"]
  assert rows[1][:5] == ["tflite", "ungated", "98.76%", "1,234,567", "1.00"]
  assert rows[2][1:3] == ["all", "open"] and "1.12" in rows[2]
  assert rows[3][1] == "auto" and "0.75" in rows[3] and "100.00%" in rows[3]
  assert lines[4:] == [
      "ungated: trained without gates, the run of --reference.",
      "all open: the gated network with every gate open for good.",
      "time: of that of `ungated`, same format, in one run.",
  ]


def test_exports_that_were_not_timed_have_no_legend(capsys):
  descriptions.print_table(
      {"references": [], "variants": [_row("fixed", "tflite")]}
  )
  assert len(capsys.readouterr().out.splitlines()) == 2
