"""Tests of `benchmarks.over_seeds`."""

import json

import numpy as np
import pytest

from benchmarks import over_seeds


def _row(accuracy, ratio, batch_size=1):
  return {
      "batch_size": batch_size,
      "networks": {
          "saved_model": {
              "ungated": {"accuracy": 0.9},
              "dynamic": {"accuracy": 0.95},
              "auto": {"accuracy": accuracy},
          }
      },
      "served": {
          "ungated": {"ratio": 1.0, "median_ms": 1.0},
          "auto": {"ratio": ratio, "median_ms": ratio},
      },
  }


def test_summary_is_over_the_seeds():
  accuracies, ratios = [0.92, 0.94, 0.9], [0.7, 0.8, 0.6]
  seeds = [
      {"rows": [_row(*pair), _row(*pair, batch_size=8)]}
      for pair in zip(accuracies, ratios, strict=True)
  ]
  found = over_seeds.summarize(seeds)
  assert {*found["accuracy"]} == {"saved_model_1", "saved_model_8"}
  auto = found["accuracy"]["saved_model_1"]["auto"]
  assert auto["mean"] == pytest.approx(np.mean(accuracies))
  assert auto["std"] == pytest.approx(np.std(accuracies, ddof=1))
  assert auto["minus_ungated"]["mean"] == pytest.approx(0.02)
  assert auto["minus_dynamic"]["mean"] == pytest.approx(-0.03)
  # Student's t of 2 degrees of freedom.
  half = 4.302653 * np.std(accuracies, ddof=1) / np.sqrt(3)
  assert auto["minus_ungated"]["high"] == pytest.approx(0.02 + half)
  time = found["time"]["served_8"]["auto"]
  assert time == {"mean": pytest.approx(0.7), "std": pytest.approx(0.1), "n": 3}


def test_the_table_has_time_and_accuracy_of_each_network():
  names = ("ungated", "all_open", "masked", "dynamic", "auto", "fixed")
  spread = {name: {"mean": i / 10} for i, name in enumerate(names)}
  summary = {
      "time": {key: spread for key in ("served_1", "served_8", "tflite_1")},
      "accuracy": {
          key: {name: {"mean": 1 - i / 8} for i, name in enumerate(names)}
          for key in ("saved_model_1", "saved_model_8", "tflite_1")
      },
  }
  summary["time"]["tflite_1"] = dict(spread)
  del summary["time"]["tflite_1"]["masked"]
  header, line, *rows = over_seeds.table(summary)
  assert header.count("|") == line.count("|") == 5
  assert rows[0] == f"| trained without gates {3 * '| 0.00, 100.0 % '}|"
  assert rows[4] == f"| gated, the gates that pay {3 * '| 0.40, 50.0 % '}|"
  assert rows[2].endswith("| 0.20, 75.0 % | 0.20, 75.0 % |  |")
  assert len(rows) == len(names)


def test_seeds_are_written_as_they_come_and_not_measured_again(tmp_path):
  output, asked = tmp_path / "out.json", []

  def measure(seed):
    asked.append(seed)
    if len(asked) == 2:
      raise KeyboardInterrupt
    return {"rows": [_row(0.9, 0.5)]}

  def run():
    return over_seeds.run(
        ["seed0", "seed1"], measure, output, {"method": "gated"}
    )

  with pytest.raises(KeyboardInterrupt):
    run()
  assert len(json.loads(output.read_text())["seeds"]) == 1
  result = run()
  assert asked == ["seed0", "seed1", "seed1"]
  assert result == json.loads(output.read_text())
  assert [each["seed"] for each in result["seeds"]] == ["seed0", "seed1"]
  assert result["summary"]["time"]["served_1"]["auto"]["mean"] == 0.5
  assert result["method"] == "gated"
