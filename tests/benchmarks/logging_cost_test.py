"""Tests of `benchmarks.logging_cost`.

The program and others define the same flags, so it has a process of its own.
"""

import json

import pytest

from tests.helpers import programs
from tests.helpers import result_shapes


@pytest.mark.slow
def test_share_is_that_of_every_epoch_but_the_first(tmp_path, data_dir):
  output = tmp_path / "cost.json"
  done = programs.succeed(
      *("benchmarks.logging_cost", "--preset=digits", "--epochs=3"),
      *("--network=cifar_resnet8", f"--data_dir={data_dir}"),
      *(f"--workdir={tmp_path / 'run'}", f"--output={output}"),
  )
  result = json.loads(output.read_text())
  committed = result_shapes.committed("logging_cost.json")
  assert result_shapes.shape(result) == result_shapes.shape(committed)
  logging, steps = result["logging_seconds"], result["step_seconds"]
  assert len(logging) == len(steps) == 3
  assert result["share"] == pytest.approx(sum(logging[1:]) / sum(steps[1:]))
  assert f"{100 * result['share']:.2f} %" in done.stdout
  history = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
  # 18 steps of 64 images are in the 1,197.
  seconds = [18 * json.loads(line)["seconds_per_step"] for line in history]
  assert steps == pytest.approx(seconds)
