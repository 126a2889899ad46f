"""Tests of what `docs/results.md` says."""

import pathlib
import re

from benchmarks import warm_recipes
from tests.helpers import result_shapes
from trainers.comparison import statistics
from trainers.comparison import table as comparison_table

_ROOT = pathlib.Path(__file__).parent.parent
_TEXT = (_ROOT / "docs" / "results.md").read_text()
_VALUE = result_shapes.committed("comparison_cluttered_digits.json")


def test_the_comparison_is_as_large_as_promised():
  trials = {(c["method"], c["target_rate"], c["seed"]) for c in _VALUE["cells"]}
  assert len(trials) == len(_VALUE["cells"]) == 70
  assert {seed for _, _, seed in trials} == set(range(5))
  assert len({method for method, _, _ in trials}) == 6


def test_the_tables_are_those_of_the_file():
  for title, _, header, rows in comparison_table.tables(_VALUE):
    assert f"### {title}" in _TEXT
    for line in (header, *rows):
      assert f"| {' | '.join(line)} |" in _TEXT


def test_the_figures_of_the_answers_are_those_of_the_tables():
  answers, tables = _TEXT.split("## Tables")
  answers = " ".join(answers.split())  # Lines may break within a figure.
  # Those of the comparison; the sixth answer is of another file.
  answers, _ = answers.split("**6.")
  figures = re.findall(
      r"[+-]\d+\.\d\d \[[+-]\d+\.\d\d, [+-]\d+\.\d\d\]", answers
  )
  assert len(figures) >= 15
  for figure in figures:
    assert figure in tables


def test_times_of_exports_are_those_of_their_files():
  flowing = " ".join(_TEXT.split())
  (row,) = result_shapes.committed("latency_pruned.json")["rows"]
  share = 100 * row["executed_share_of_macs"]
  served, lite = (
      row[engine]["fixed"]["ratio"] for engine in ("served", "tflite")
  )
  assert f"of seed 0, at {share:.0f} % of the multiply-adds" in flowing
  assert f"takes {served:.2f} of the ungated time as a SavedM" in flowing
  assert f"and {lite:.2f} as a TF-Lite file, one image" in flowing
  summary = result_shapes.committed("gated_cluttered_digits.json")["summary"]
  for format, name in (
      *(("saved_model_1", "auto"), ("tflite_1", "auto")),
      ("saved_model_1", "settled"),
  ):
    found = summary["accuracy"][format][name]["minus_dynamic"]
    mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
    assert f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" in flowing
  for name in ("auto", "dynamic"):
    times = [summary["time"][e][name]["mean"] for e in ("served_1", "tflite_1")]
    assert all(f" {time:.2f}" in flowing for time in times)


def test_the_network_of_keras_is_as_measured():
  flowing = " ".join(_TEXT.split("## A network of Keras")[1].split())
  value = result_shapes.committed("comparison_digits_mobilenet.json")

  def of_method(method, strategy, key):
    return [
        cell["strategies"][strategy][key]
        for cell in sorted(value["cells"], key=lambda cell: cell["seed"])
        if cell["method"] == method
    ]

  methods = {"ungated": "always_open", "ungated_longer": "always_open"}
  methods["warm_per_batch_dependent"] = "map"
  accuracies = [of_method(*each, "accuracy") for each in methods.items()]
  for found in accuracies:
    assert len(found) == 5
    assert f"{100 * statistics.spread(found)['mean']:.2f} %" in flowing
  *plain, gated = accuracies
  for theirs in plain:
    found = statistics.difference(gated, theirs)
    mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
    assert f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]" in flowing
  assert f"where {100 * found['detectable']:.1f} points would" in flowing
  for found in (gated, plain[1]):
    assert f" {100 * statistics.spread(found)['std']:.1f}" in flowing
  macs = of_method("warm_per_batch_dependent", "map", "macs")
  share = 100 * statistics.spread(macs)["mean"] / value["dense_macs"]
  assert f"at {share:.1f} % of the multiply-adds" in flowing
  timed = result_shapes.committed("gated_digits_mobilenet.json")
  served, batches, lite = (
      timed["summary"]["time"][engine]["auto"]["mean"]
      for engine in ("served_1", "served_8", "tflite_1")
  )
  assert f"take {served:.2f} of the plain one's" in flowing
  assert f"{batches:.2f} in batches of 8, and {lite:.2f} as" in flowing
  assert f"means over the {len(timed['seeds'])} seeds" in flowing


def test_the_table_of_recipes_is_that_of_its_file():
  rows = result_shapes.committed("warm_start.json")["rows"]
  for line in warm_recipes.table(warm_recipes.summarize(rows)):
    assert f"\n{line}\n" in _TEXT


def test_what_gating_costs_in_training_is_as_measured():
  text = (_ROOT / "docs" / "training.md").read_text()
  cost = result_shapes.committed("train_step.json")
  rows = zip(cost["step_times"], cost["memory_bytes"], strict=True)
  for times, memory in rows:
    expected = f"{times['gated']['ratio']:.3f} | {memory['ratio']:.3f} |"
    assert re.search(
        rf"\| +{times['batch_size']} .*{re.escape(expected)}", text
    )
  routed = result_shapes.committed("routed_training.json")
  assert {len(runs) for runs in routed["runs"].values()} == {5}
  for row in routed["resnet50_steps"]:
    ratios = [f"{row[way]['ratio']:.2f}" for way in ("masked", "routed")]
    assert f"{row['open_rate']} | {' | '.join(ratios)} |" in text
  lost = routed["routed_minus_masked"]["accuracy"]
  bounds = [f"{100 * lost[key]:+.2f}" for key in ("mean", "low", "high")]
  figure = "{} [{}, {}]".format(*bounds)
  assert figure in " ".join(text.split())


def test_what_keeping_memory_gives_is_as_measured():
  text = (_ROOT / "docs" / "training.md").read_text()
  steps = result_shapes.committed("freed_memory.json")["steps"]
  assert len(steps) == 2
  for row in steps:
    size = f"{row['image_size']} pixels, batch {row['batch_size']}"
    ratios = [f"{row[key]:.2f}" for key in ("time_ratio", "memory_ratio")]
    assert f"| {size} | {' | '.join(ratios)} |" in text
