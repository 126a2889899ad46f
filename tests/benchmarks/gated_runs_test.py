"""Tests of `benchmarks.gated_runs`."""

import pytest

from tests.helpers import programs


@pytest.mark.slow
def test_folder_without_finished_runs_is_named_with_what_makes_them(tmp_path):
  (tmp_path / "gated_0.6" / "seed0").mkdir(parents=True)
  done = programs.run(
      *("benchmarks.gated_runs", "--method=gated_0.6"),
      *(f"--comparison={tmp_path}", f"--output={tmp_path / 'out.json'}"),
  )
  assert done.returncode == 1
  assert f"{tmp_path / 'gated_0.6'} holds no finished runs" in done.stderr
  assert f"trainers.compare --workdir={tmp_path}" in done.stderr
  assert not (tmp_path / "out.json").exists()
