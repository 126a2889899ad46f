"""Tests of `benchmarks.gated_runs`."""

import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_folder_without_finished_runs_is_named_with_what_makes_them(tmp_path):
  (tmp_path / "gated_0.6" / "seed0").mkdir(parents=True)
  done = subprocess.run(
      [
          *(sys.executable, "-m", "benchmarks.gated_runs"),
          *(f"--comparison={tmp_path}", "--method=gated_0.6"),
          f"--output={tmp_path / 'out.json'}",
      ],
      capture_output=True,
      check=False,
      cwd=_ROOT,
      text=True,
  )
  assert done.returncode == 1
  assert f"{tmp_path / 'gated_0.6'} holds no finished runs" in done.stderr
  assert f"trainers.compare --workdir={tmp_path}" in done.stderr
  assert not (tmp_path / "out.json").exists()
