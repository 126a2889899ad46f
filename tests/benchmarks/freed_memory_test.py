"""Tests of `benchmarks.freed_memory`."""

import json

import pytest

from benchmarks import environment
from benchmarks import freed_memory
from tests.helpers import result_shapes


@pytest.mark.slow
def test_the_program_writes_what_it_measured(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(freed_memory, "_STEPS", (("cifar_resnet8", 8, 4),))
  monkeypatch.setattr(freed_memory, "_ROUNDS", 1)
  monkeypatch.setattr(freed_memory, "_REPEATS", 2)
  monkeypatch.setattr(environment.sys, "argv", [environment.__file__])
  path = tmp_path / "result.json"
  freed_memory.main(["freed_memory", str(path)])
  result = json.loads(path.read_text())
  assert result_shapes.shape(result) == result_shapes.shape(
      result_shapes.committed("freed_memory.json")
  )
  (row,) = result["steps"]
  for key, ratio in (
      ("median_ms", row["time_ratio"]),
      ("peak_bytes", row["memory_ratio"]),
  ):
    assert row["kept"][key] / row["returned"][key] == ratio
  assert f"kept by returned: time {row['time_ratio']:.2f}" in (
      capsys.readouterr().out
  )
