"""Tests of `benchmarks.warm_start`."""

import json

import pytest

from benchmarks import warm_recipes
from tests.helpers import programs


def test_folder_without_runs_is_named_with_the_command_that_makes_them(
    tmp_path,
):
  done = programs.run(
      *("benchmarks.warm_start", f"--comparison={tmp_path}"),
      f"--output={tmp_path / 'out.json'}",
  )
  assert done.returncode == 1
  assert f"{tmp_path}/ungated_longer holds no finished runs" in done.stderr
  assert "--methods=ungated,ungated_longer" in done.stderr
  assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_recipes_are_tried_on_the_runs_of_a_comparison(tmp_path, data_dir):
  runs, output = tmp_path / "runs", tmp_path / "out.json"
  programs.succeed(
      *("trainers.compare", "--preset=digits", "--epochs=1", "--seeds=1"),
      *("--methods=ungated", f"--data_dir={data_dir}", f"--workdir={runs}"),
  )
  for _ in range(2):  # The second time, nothing is left.
    done = programs.succeed(
        *("benchmarks.warm_start", f"--comparison={runs}", "--jobs=2"),
        *("--reference=ungated", "--lengths=1", f"--output={output}"),
    )
  found = json.loads(output.read_text())
  assert {row["recipe"] for row in found["rows"]} == {*warm_recipes.RECIPES}
  assert all(0.1 < row["accuracy"] <= 1 for row in found["rows"])
  *_, last = warm_recipes.RECIPES
  assert done.stdout.splitlines()[-1].startswith(f"| 1 | {last} | 1 |")
