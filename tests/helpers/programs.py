"""Programs of ours, in processes of their own."""

import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(module, *arguments):
  """Runs `python -m MODULE ARGUMENTS` to its end in the checkout's folder.

  Returns:
    The finished process, with what it wrote as text.
  """
  return subprocess.run(
      [sys.executable, "-m", module, *arguments],
      capture_output=True,
      check=False,
      cwd=_ROOT,
      text=True,
  )


def succeed(module, *arguments):
  """As `run`, of a program that must not fail."""
  done = run(module, *arguments)
  assert done.returncode == 0, done.stderr
  return done
