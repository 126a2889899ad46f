"""Tests of `benchmarks.train_step`."""

import json

import pytest

from benchmarks import environment
from benchmarks import train_step
from export.timing import interleaved
from tests.helpers import result_shapes


@pytest.mark.slow
def test_the_program_writes_what_it_measured(tmp_path, monkeypatch, capsys):
  for name, value in {
      "_NETWORK": "cifar_resnet8",
      "_SIZE": 8,
      "_REPEATS": {4: 3},
      "_PROFILED_BATCH": 4,
      "_SMALL_NETWORK": "cifar_resnet8",
      "_SMALL_SIZE": 8,
      "_SMALL_BATCH": 4,
      "_REPLICAS": (2,),
      "_SMALL_REPEATS": 3,
  }.items():
    monkeypatch.setattr(train_step, name, value)
  monkeypatch.setattr(environment.sys, "argv", [environment.__file__])
  path = tmp_path / "result.json"
  train_step.main(["train_step", str(path)])
  result = json.loads(path.read_text())
  # Kinds of operations differ between machines.
  ours, theirs = (
      result_shapes.shape(each, ignored=["top_ops_ms", "growth_ms"])
      for each in (result, result_shapes.committed("train_step.json"))
  )
  assert ours == theirs
  (times,), (replicas,) = result["step_times"], result["replicas"]
  (memory,) = result["memory_bytes"]
  assert (times["batch_size"], times["repeats"]) == (4, 3)
  assert replicas["num_replicas"] == 2
  ratio = memory["gated"]["training"] / memory["ungated"]["training"]
  assert memory["ratio"] == ratio
  printed = capsys.readouterr().out
  for row in (times["gated"], replicas["with_rate_loss"]):
    low, high = row["quartiles_ms"]
    assert low <= row["median_ms"] <= high
    assert interleaved.time_text(row["median_ms"]) in printed
  for name in ("gated", "ungated"):
    found = result["kernels"][name]
    assert len(found["top_ops_ms"]) == 10
    # One at a time.
    assert found["kernels_ms"] < found["step_ms"]
    assert 0 < found["outside_convolutions"] < 1
  gated, ungated = (
      result["kernels"][name]["top_ops_ms"] for name in ("gated", "ungated")
  )
  shared = gated.keys() & ungated.keys() & result["kernels"]["growth_ms"].keys()
  assert shared
  for kind in shared:
    growth = result["kernels"]["growth_ms"][kind]
    assert growth == pytest.approx(gated[kind] - ungated[kind])
