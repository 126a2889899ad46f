"""Tests of `trainers.freed_memory`."""

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import resource
import threading
import numpy as np
from trainers import freed_memory

kept = freed_memory.keep()

def use_and_free():
  for _ in range(3):
    tensors = [np.ones(2**20) for _ in range(3)]  # Of 8 MB.
    del tensors

def pages():
  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def measure():
  use_and_free()
  before = pages()
  use_and_free()
  print(int(kept), pages() - before)

measure()
thread = threading.Thread(target=measure)
thread.start()
thread.join()
"""


def _run(**environment):
  """Of the first thread and another: whether it was set, and pages cleared."""
  inherited = {
      name: value
      for name, value in os.environ.items()
      if not name.startswith(("MALLOC_", "GLIBC_"))
  }
  finished = subprocess.run(
      [sys.executable, "-c", _PROGRAM],
      env={**inherited, **environment},
      check=True,
      stdout=subprocess.PIPE,
      text=True,
  )
  return [tuple(map(int, x.split())) for x in finished.stdout.splitlines()]


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_pages_of_what_was_freed_are_not_cleared_again():
  assert _run() == [(1, 0), (1, 0)]


def test_environment_has_its_way():
  """As without the call, the same pages are cleared over and over."""
  for kept, pages in _run(MALLOC_TOP_PAD_="0"):
    assert kept == 0
    assert pages > 0
