"""Tests of what `README.md` says."""

import json
import pathlib
import re

import keras
import numpy as np

import pgates
from trainers.settings import presets

_ROOT = pathlib.Path(__file__).parent.parent
_README = (_ROOT / "README.md").read_text()


def test_the_example_trains_and_skips():
  (code,) = re.findall(r"```python\n(.*?)```", _README, re.DOTALL)
  found = {}
  exec(compile(code, "README.md", "exec"), found)  # noqa: S102
  rng = np.random.default_rng(0)
  images = rng.normal(size=(16, 28, 28, 1)).astype("float32")
  model, fast = found["model"], found["fast"]
  before = [np.asarray(v) for v in model.trainable_variables]
  model.fit(images, np.arange(16) % 10, verbose=0)
  after = model.trainable_variables
  assert all(
      np.any(old != np.asarray(new))
      for old, new in zip(before, after, strict=True)
      if "bias" not in new.path
  )
  np.testing.assert_allclose(
      fast.predict(images, verbose=0)["logits"],
      model.predict(images, verbose=0)["logits"],
      rtol=1e-4,
      atol=1e-5,
  )
  keras.backend.clear_session()


def test_the_table_of_the_demo_is_that_of_its_file():
  results = _ROOT / "benchmarks" / "results"
  rows = json.loads((results / "demo_gated.json").read_text())["strategies"]
  reference = json.loads((results / "demo_ungated.json").read_text())
  rows["(reference)"] = reference["strategies"]["always_open"]
  for name, row in rows.items():
    (line,) = re.findall(rf"^    {re.escape(name)} .*$", _README, re.MULTILINE)
    assert f" {100 * row['accuracy']:.2f}% " in line
    assert f" {row['macs']:,.0f} " in line
    share = 100 * row["macs"] / reference["dense_macs"]
    assert f" {share:.1f}% " in line


def test_the_table_of_exports_is_that_of_its_file():
  path = _ROOT / "benchmarks" / "results" / "demo_export.json"
  variants = json.loads(path.read_text())["variants"]
  assert len(variants) == 10
  for row in variants:
    name = f"{row['format']} {row['gating']}"
    if row["quantization"] != "none":
      name += f" {row['quantization']}"
    (line,) = re.findall(rf"^    {name}  .*$", _README, re.MULTILINE)
    columns = line.removeprefix(f"    {name}").split()
    assert columns == [
        f"{row['bytes']:,}",
        f"{row['macs']:,.0f}",
        f"{100 * row['accuracy']:.2f}%",
        f"{100 * row['keras_accuracy']:.2f}%",
        f"{100 * row['gate_agreement']:.2f}%",
    ]


def test_the_table_of_latencies_is_that_of_its_file():
  path = _ROOT / "benchmarks" / "results" / "latency.json"
  rows = json.loads(path.read_text())["rows"]
  found = [
      [float(number) for number in re.findall(r"\d\.\d\d", line)]
      for line in re.findall(r"^\| +\d+ % \|.*$", _README, re.MULTILINE)
  ]
  for i, rate in enumerate(dict.fromkeys(row["rate"] for row in rows)):
    expected = []
    for row in (row for row in rows if row["rate"] == rate):
      saved, lite = row["saved_model"], row.get("tflite")
      expected.append(saved["dynamic"]["ratio"])
      if lite is None:
        expected.append(row["executed_share_of_macs"])
      else:
        expected.append(saved["removed"]["ratio"])
        expected += [lite["dynamic"]["ratio"], lite["removed"]["ratio"]]
    np.testing.assert_allclose(found[i], expected, atol=0.00501)


def test_measured_shares_are_those_of_their_files():
  results = _ROOT / "benchmarks" / "results"
  cost = json.loads((results / "logging_cost.json").read_text())
  assert f"takes {100 * cost['share']:.1f} % of the steps'" in _README
  pipelines = json.loads((results / "input_pipeline.json").read_text())
  ratio = 1 / pipelines["pipelines"]["train"]["ratio"]
  assert f"delivers {ratio:.2f} of the images" in _README
  latency = results / "latency_cluttered_digits.json"
  row = json.loads(latency.read_text())["rows"][0]["saved_model"]
  assert f"takes {row['dynamic']['ratio']:.2f} times the ungated" in _README
  assert f"removed {row['removed']['ratio']:.2f}." in _README


def test_every_strategy_and_preset_is_named():
  for name in (*pgates.STRATEGIES, *presets.PRESETS):
    assert f"`{name}" in _README


def test_every_folder_of_sources_is_in_the_layout():
  for folder in _ROOT.iterdir():
    if any(folder.glob("*.py")):
      assert f"    {folder.name}/ " in _README


def test_the_table_of_the_comparison_is_that_of_its_file():
  path = _ROOT / "benchmarks" / "results" / "comparison_cluttered_digits.json"
  value = json.loads(path.read_text())
  accuracies = [
      f"{100 * found['mean']:.2f} +- {100 * found['std']:.2f}"
      for row in value["rows"]
      for name, found in (
          (name, result["accuracy"])
          for name, result in row["strategies"].items()
          if name == ("always_open" if row["method"] == "ungated" else "map")
      )
  ]
  section = _README.split("## Does it work?")[1].split("\n## ")[0]
  shown = re.findall(r"\| (\d\d\.\d\d \+- \d\.\d\d) ", section)
  # All but stochastic depth and independent gates per layer.
  assert shown == [*accuracies[:1], *accuracies[2:8], *accuracies[11:]]
  differences = [
      f"{100 * d['mean']:+.2f} [{100 * d['low']:+.2f}, {100 * d['high']:+.2f}]"
      for d in (a["difference"] for a in value["answers"]["against_ungated"])
  ]
  shown = re.findall(r"(\S+ \[\S+, \S+\]) +\|", section)
  assert shown == [*differences[1:7], *differences[10:]]
  share = next(e for e in value["equal_macs"] if e["macs_share"] == 0.6)
  gain = share["differences"][0]
  assert f"{100 * gain['mean']:+.2f} [{100 * gain['low']:+.2f}, " in section
