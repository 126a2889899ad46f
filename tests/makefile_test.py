"""Tests of which Python the `Makefile` takes, and what it installs."""

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
    printf '%s\\n' 'echo "$*" >> made' '! grep -q -e "{fails}" made' \\
      > .venv/bin/python
    chmod +x .venv/bin/python
    echo "{name} $*" >> made ;;
esac
"""

_INSTALLATIONS = [
    "-m pip install --require-hashes -r requirements_lock.txt",
    "-m pip install --no-deps --no-build-isolation --editable .",
]


def _make(folder, versions, *, fails="never"):
  """Runs `make .venv` where there are only Pythons of these versions.

  Args:
    folder: to run it in.
    versions: of the Pythons.
    fails: the installation that has this in its command fails.

  Returns:
    What `subprocess.run` does.
  """
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
            fails=fails,
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
  made = (tmp_path / "made").read_text().splitlines()
  assert made == [f"{taken} -m venv --clear .venv", *_INSTALLATIONS]
  assert (tmp_path / ".venv" / "installed").is_file()


@pytest.mark.parametrize("fails", ["--require-hashes", "--editable"])
def test_interrupted_installation_is_made_anew(tmp_path, fails):
  assert _make(tmp_path, ["3.12"], fails=fails).returncode
  assert (tmp_path / ".venv" / "bin" / "python").is_file()
  assert not (tmp_path / ".venv" / "installed").exists()
  (tmp_path / "made").unlink()
  assert _make(tmp_path, ["3.12"]).returncode == 0
  made = (tmp_path / "made").read_text().splitlines()
  assert made == ["py3.12 -m venv --clear .venv", *_INSTALLATIONS]


def test_checkout_is_importable_from_anywhere(tmp_path):
  checkout = tmp_path / "checkout"
  shutil.copytree(
      _ROOT / "pgates",
      checkout / "pgates",
      ignore=shutil.ignore_patterns("__pycache__"),
  )
  for name in ("pyproject.toml", "README.md", "LICENSE"):
    shutil.copy(_ROOT / name, checkout)
  (checkout / "trainers").mkdir()
  (checkout / "trainers" / "__init__.py").touch()
  site_packages = tmp_path / "site-packages"
  subprocess.run(
      [sys.executable, *_INSTALLATIONS[1].split(), "--no-index", "--quiet"]
      + ["--target", site_packages],
      check=True,
      cwd=checkout,
  )
  program = (
      "import importlib.util as u, site, sys; site.addsitedir(sys.argv[1]); "
      "print(u.find_spec('pgates').origin, u.find_spec('trainers'))"
  )
  result = subprocess.run(
      # Without what is installed here already, this checkout included.
      [sys.executable, "-I", "-S", "-c", program, site_packages],
      capture_output=True,
      check=True,
      text=True,
  )
  # The programs have names too common to be installed.
  assert result.stdout == f"{checkout / 'pgates' / '__init__.py'} None\n"


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
