"""Tests of the program `trainers.report`.

Its flags and those of `trainers.evaluate` share names, so it has a process of
its own.
"""

import pathlib
import shutil
import subprocess
import sys

import pytest

from file_io import artifacts
from tests.helpers import compared_runs
from tests.helpers import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_program_writes_the_page_and_says_where(tiny_run, tmp_path):
  for name in ("config.json", "model.keras", "history.jsonl"):
    shutil.copy(tiny_run / name, tmp_path / name)
  evaluation = {
      "dataset": "digits",
      "split": "test",
      "examples": 300,
      "dense_macs": 1000,
      "gates": [{"name": f"block{i}", "macs": 1} for i in range(3)],
      "strategies": {
          "map": compared_runs.strategy(0.8125),
          "always_open": compared_runs.strategy(0.5),
      },
  }
  artifacts.write_json(tmp_path / "evaluation.json", evaluation)
  # Its own reference: the same data.
  done = programs.run(
      "trainers.report", f"--workdir={tmp_path}", f"--reference={tmp_path}"
  )
  assert done.returncode == 0, done.stderr
  path = tmp_path / "report.html"
  assert f"Wrote {path}: open it in a browser." in done.stdout
  assert "81.25 %" in path.read_text()
  assert "ungated network<" in path.read_text()


def test_what_a_user_can_mend_is_said_in_one_line(tmp_path):
  done = programs.run("trainers.report", f"--workdir={tmp_path}")
  assert done.returncode == 1
  assert "trainers.report: " in done.stderr and "config.json" in done.stderr
  assert "Traceback" not in done.stderr


_INTERRUPTED = """
from absl import app
from trainers import report

def interrupt(*args, **kwargs):
  raise KeyboardInterrupt

report.report_writer.write_report = interrupt
app.run(report.main)
"""


@pytest.mark.slow
def test_interrupted_report_ends_in_one_line(tmp_path):
  done = subprocess.run(
      [sys.executable, "-c", _INTERRUPTED, f"--workdir={tmp_path}"],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
  )
  assert done.returncode == 130
  message = "trainers.report: Ended by SIGINT. What was there stays.\n"
  assert done.stderr.endswith(message) and "Traceback" not in done.stderr
