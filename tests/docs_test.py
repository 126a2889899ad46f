"""Tests of what `docs/training.md` and `docs/export.md` say."""

import pathlib
import re

import numpy as np

import pgates
from tests.helpers import result_shapes
from trainers.settings import presets

_ROOT = pathlib.Path(__file__).parent.parent
_RESULTS = _ROOT / "benchmarks" / "results"
_TRAINING = (_ROOT / "docs" / "training.md").read_text("utf-8")
_EXPORT = (_ROOT / "docs" / "export.md").read_text("utf-8")


def test_the_table_of_strategies_is_that_of_its_file():
  rows = result_shapes.committed("demo_gated.json")["strategies"]
  reference = result_shapes.committed("demo_ungated.json")
  rows["(reference)"] = reference["strategies"]["always_open"]
  for name, row in rows.items():
    pattern = rf"^    {re.escape(name)} .*$"
    (line,) = re.findall(pattern, _TRAINING, re.MULTILINE)
    assert f" {100 * row['accuracy']:.2f}% " in line
    assert f" {row['macs']:,.0f} " in line
    share = 100 * row["macs"] / reference["dense_macs"]
    assert f" {share:.1f}% " in line


def test_every_strategy_and_preset_is_named():
  for name in (*pgates.STRATEGIES, *presets.PRESETS):
    assert f"`{name}" in _TRAINING


def test_the_table_of_exports_is_that_of_its_file():
  value = result_shapes.committed("demo_export.json")
  assert len(value["variants"]) == 10
  names = {row["gating"] for row in value["references"]}
  assert names == {"ungated", "all_open"}
  for row in (*value["references"], *value["variants"]):
    name = f"{row['format']} {row['gating'].replace('_', ' ')}"
    if row["quantization"] != "none":
      name += f" {row['quantization']}"
    (line,) = re.findall(rf"^    {name}  .*$", _EXPORT, re.MULTILINE)
    columns = line.removeprefix(f"    {name}").split()
    expected = [
        f"{row['time_ratio']:.2f}",
        f"{row['bytes']:,}",
        f"{row['macs']:,.0f}",
        f"{100 * row['accuracy']:.2f}%",
        f"{100 * row['keras_accuracy']:.2f}%",
    ]
    if "gate_agreement" in row:
      expected.append(f"{100 * row['gate_agreement']:.2f}%")
    assert columns == expected
  limits = [f"{value['limits'][n]:.2f}" for n in ("saved_model", "tflite")]
  assert f"takes {limits[0]} as a SavedModel, {limits[1]}" in " ".join(
      _EXPORT.split()
  )


def test_the_table_of_a_network_of_keras_is_that_of_its_file():
  value = result_shapes.committed("mobilenet_export.json")
  rows = {
      f"{row['format']} {row['gating'].replace('_', ' ')}": row
      for row in (*value["references"], *value["variants"])
  }
  assert len(rows) == 6
  for name, row in rows.items():
    (line,) = re.findall(rf"^    {name}  .*$", _TRAINING, re.MULTILINE)
    assert line.removeprefix(f"    {name}").split() == [
        f"{100 * row['accuracy']:.2f}%",
        f"{row['macs']:,.0f}",
        f"{row['time_ratio']:.2f}",
        f"{row['bytes']:,}",
    ]


def test_the_table_of_latencies_is_that_of_its_file():
  rows = result_shapes.committed("latency.json")["rows"]
  found = [
      [float(number) for number in re.findall(r"\d\.\d\d", line)]
      for line in re.findall(r"^\| +\d+ % \|.*$", _EXPORT, re.MULTILINE)
  ]
  for i, rate in enumerate(dict.fromkeys(row["rate"] for row in rows)):
    expected = []
    for row in (row for row in rows if row["rate"] == rate):
      served, lite = row["served"], row.get("tflite")
      expected.append(served["dynamic"]["ratio"])
      if lite is None:
        expected.append(row["executed_share_of_macs"])
      else:
        expected.append(served["removed"]["ratio"])
        expected += [lite["dynamic"]["ratio"], lite["removed"]["ratio"]]
    np.testing.assert_allclose(found[i], expected, atol=0.00501)


def test_other_runtimes_are_those_of_the_file():
  rows = result_shapes.committed("latency.json")["rows"]
  for row in rows:
    if row["rate"] == "1.0":
      times = row["saved_model"]
      line = re.search(rf"^\| {row['batch_size']} .*$", _EXPORT, re.MULTILINE)
      assert [float(n) for n in re.findall(r"\d+\.\d+", line[0])] == [
          *(
              round(times[name]["median_ms"], 1)
              for name in ("all_open", "onnxruntime", "openvino")
          ),
          *(
              round(times[name]["ratio"], 2)
              for name in ("onnxruntime", "openvino")
          ),
      ]


def test_measured_shares_are_those_of_their_files():
  training, export = (" ".join(text.split()) for text in (_TRAINING, _EXPORT))
  cost = result_shapes.committed("logging_cost.json")
  assert f"takes {100 * cost['share']:.1f} % of the steps'" in training
  value = result_shapes.committed("input_pipeline.json")
  rates = {
      name: f"{row['images_per_second']:.0f}"
      for name, row in value["pipelines"].items()
  }
  assert value["cores"] == 2 and "size, on two cores, the pipe" in training
  assert f"delivers {rates['train']} images a second to train on" in training
  assert f"and {rates['evaluate']} to evaluate on;" in training
  assert f"decodes and resizes delivers {rates['plain']} (" in training
  assert f"(without, {rates['train_without_exif']} to train on" in training
  masked = [
      row["served"]["masked"]["ratio"]
      for row in result_shapes.committed("latency.json")["rows"]
  ]
  assert f"takes {min(masked):.2f} to {max(masked):.2f} times" in export
  latency = result_shapes.committed("latency_cluttered_digits.json")
  row = latency["rows"][0]["served"]
  assert f"takes {row['dynamic']['ratio']:.2f} times the ungated" in export
  assert f"removed {row['removed']['ratio']:.2f}." in export


def _cited(text):
  """Pairs of a result and the command beside it, in flowing text."""
  return re.findall(
      r"`benchmarks/results/(\w+\.json)`, (?:written by )?`(python -m [^`]*)`",
      " ".join(text.split()),
  )


def test_cited_commands_are_those_of_their_files():
  compared = []
  for path in (_ROOT / "README.md", *_ROOT.glob("docs/*.md")):
    for name, cited in _cited(path.read_text("utf-8")):
      value = result_shapes.committed(name)
      if "command" not in value:
        continue
      command = value["command"]
      words = command.split() if isinstance(command, str) else command
      # Files to write are named otherwise in each place.
      for word in cited.split():
        if not word.endswith("...") and word != "FILE":
          assert word in words, (path.name, name, word)
      compared.append(name)
  assert len(set(compared)) >= 6


def test_every_committed_result_is_cited():
  texts = [
      path.read_text("utf-8")
      for path in (_ROOT / "README.md", *_ROOT.glob("docs/*.md"))
  ]
  for path in _RESULTS.glob("*.json"):
    assert any(path.name in text for text in texts), path.name
