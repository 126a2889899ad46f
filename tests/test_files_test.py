"""Each source has a test file of its name, in the same place under tests/."""

import pathlib

from tools import source_imports

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# Sources without one, and why.
_ELSEWHERE = {
    "benchmarks/served_process.py": "served_test runs it, as a process",
    "export/timing/standalone.py": "measure_costs_test runs what it writes",
}


def without_test(root):
  """Sources, but for packages' `__init__`, that have no test file."""
  return {
      source.as_posix()
      for source in source_imports.sources(root)
      if source.parts[0] != "tests"
      and not source_imports.is_init(source)
      and not _test_of(root, source).is_file()
  }


def _test_of(root, source):
  return root / "tests" / source.with_name(f"{source.stem}_test.py")


def test_each_source_has_a_test_file_of_its_name():
  missing = without_test(_ROOT)
  assert not missing - set(_ELSEWHERE)
  assert set(_ELSEWHERE) <= missing, "no longer an exception"


def test_source_without_a_test_file_is_found(tmp_path):
  for name in (
      "pgates/__init__.py",
      "pgates/graphs.py",
      "pgates/layers/gates.py",
      "tests/pgates/graphs_test.py",
      # Not in the same place.
      "tests/pgates/gates_test.py",
  ):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", "utf-8")
  assert without_test(tmp_path) == {"pgates/layers/gates.py"}
