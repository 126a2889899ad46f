"""Tests of `benchmarks.unfinished`."""

from benchmarks import unfinished
from file_io import artifacts


def test_rows_are_those_of_the_same_command_and_commit(tmp_path):
  path = tmp_path / "result.json"
  description = {"command": "python -m program", "commit": "abc", "cores": 2}
  assert unfinished.rows(path, description) == []
  rows = [{"rate": "map", "batch_size": 1}]
  artifacts.write_json(path, {**description, "rows": rows})
  assert unfinished.rows(path, description) == rows
  assert unfinished.rows(path, {**description, "commit": "def"}) == []
