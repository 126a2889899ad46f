"""Tests of the program `export.time_exports`.

Its flags and those of `trainers` share names, so it has processes of its own.
"""

import re

import pytest

from tests.helpers import programs


@pytest.mark.parametrize(
    "arguments, message",
    [
        pytest.param(
            ["--exports=a", "--batch_sizes=0"],
            "--batch_sizes whole numbers",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["--batch_sizes=1"],
            "--exports takes folders",
            marks=pytest.mark.slow,
        ),
        (["--exports=a"], "There is no .*run/model.keras"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, message, tmp_path):
  done = programs.run(
      *("export.time_exports", f"--workdir={tmp_path}/run"),
      *(f"--output={tmp_path}/times.json", *arguments),
  )
  assert done.returncode == 1
  (line,) = done.stderr.splitlines()
  assert line.startswith("export.time_exports: ")
  assert re.search(message, line)
  assert not (tmp_path / "times.json").exists()
