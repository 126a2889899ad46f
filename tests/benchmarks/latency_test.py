"""Tests of `benchmarks.latency`."""

import json

import pytest

from export.timing import interleaved
from tests.helpers import programs


@pytest.mark.slow
def test_the_program_writes_what_it_measured(tmp_path):
  output = tmp_path / "latency.json"
  command = [
      *["benchmarks.latency", f"--output={output}"],
      *["--network=resnet18", "--size=32", "--rates=map", "--batch_sizes=1"],
      "--repeats=2",
  ]
  done = programs.succeed(*command)
  result = json.loads(output.read_text())
  assert result["reference"] == "all_open"
  assert result["network"] == "resnet18" and result["weights"] == "random"
  assert result["image_shape"] == [32, 32, 3]
  (row,) = result["rows"]
  for name, times in row["tflite"].items():
    assert 0 < times["minimum_ms"] <= times["median_ms"]
    assert interleaved.time_text(times["median_ms"]) in done.stdout, name
  # A second time there is nothing left to measure.
  assert not programs.succeed(*command).stdout
  assert json.loads(output.read_text()) == result
