"""Tests of `benchmarks.make_resources`."""

import subprocess
import sys

import pytest

from benchmarks import make_resources

_CODE = """
import pathlib, sys, time
content = b"x" * 300_000_000
pathlib.Path(sys.argv[1], "a").mkdir()
pathlib.Path(sys.argv[1], "a", "file").write_bytes(content[:12_345])
time.sleep(0.2)
"""


def test_time_memory_and_disk_are_those_of_the_command(tmp_path):
  (tmp_path / "link").symlink_to(sys.executable)
  row = make_resources.measure(
      [sys.executable, "-c", _CODE, str(tmp_path)], tmp_path
  )
  assert row["written_bytes"] == 12_345 + (tmp_path / "link").lstat().st_size
  assert 0.2 < row["seconds"] < 60
  assert row["peak_process_bytes"] > 300_000_000


def test_a_command_that_fails_is_no_measurement(tmp_path):
  with pytest.raises(subprocess.CalledProcessError):
    make_resources.measure(["false"], tmp_path)
