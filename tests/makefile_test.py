"""Tests of which Python the `Makefile` takes."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent

# Says that it is of another version, and only notes what it is to install.
_PYTHON = """#!/bin/sh
case "$1" in
  -c)
    shift
    exec "{python}" -c '
import sys
program = sys.argv.pop(1)
sys.version_info = ({version}, 0, "final", 0)
exec(program)
' "$@" ;;
  *)
    mkdir -p .venv/bin
    echo 'true' > .venv/bin/python
    chmod +x .venv/bin/python
    echo "{name} $*" >> made ;;
esac
"""


def _make(folder, versions):
  """Runs `make .venv` where there are only Pythons of these versions."""
  shutil.copy(_ROOT / "Makefile", folder)
  (folder / "requirements_lock.txt").touch()
  names = []
  for version in versions:
    path = folder / f"py{version}"
    path.write_text(
        _PYTHON.format(
            python=sys.executable,
            version=version.replace(".", ", "),
            name=path.name,
        )
    )
    path.chmod(0o755)
    names.append(f"./{path.name}")
  # Nothing of a `make` that runs the tests may reach this one.
  environment = {
      k: v
      for k, v in os.environ.items()
      if k not in ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
  }
  return subprocess.run(
      ["make", ".venv", f"PYTHON=./missing {' '.join(names)}"],
      capture_output=True,
      check=False,
      cwd=folder,
      env=environment,
      text=True,
  )


@pytest.mark.parametrize(
    ("versions", "taken"),
    [
        (["3.11"], "py3.11"),
        (["3.12"], "py3.12"),
        (["3.13"], "py3.13"),
        (["3.10", "3.14", "3.13", "3.11"], "py3.13"),
    ],
)
def test_first_python_of_these_versions_is_taken(tmp_path, versions, taken):
  result = _make(tmp_path, versions)
  assert result.returncode == 0, result.stderr
  made = (tmp_path / "made").read_text()
  assert made == f"{taken} -m venv --clear .venv\n"
  assert (tmp_path / ".venv" / "installed").is_file()


def test_other_versions_are_refused(tmp_path):
  result = _make(tmp_path, ["2.7", "3.1", "3.10", "3.14"])
  assert result.returncode
  assert not (tmp_path / ".venv").exists()
  assert (
      "Python 3.11, 3.12 or 3.13 is needed; none among: ./missing ./py2.7"
      " ./py3.1 ./py3.10 ./py3.14.\n"
      "Install one, or name it: make PYTHON=/path/to/python3.13\n"
  ) in result.stderr


def test_library_is_declared_for_the_same_versions():
  makefile = (_ROOT / "Makefile").read_text("utf-8")
  (versions,) = re.findall(r"^VERSIONS := (.*)$", makefile, re.MULTILINE)
  project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
  prefix = "Programming Language :: Python :: "
  assert [
      text.removeprefix(prefix) for text in project["project"]["classifiers"]
  ] == versions.split()
