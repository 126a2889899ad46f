"""Runs programs of ours in processes of their own."""

from collections.abc import Mapping
from collections.abc import Sequence
import os
import subprocess
import sys
import threading
from typing import IO


class Stopped(Exception):
  """A stop was requested; what was under way has saved its state."""


class Children:
  """Processes that a stop ends together."""

  def __init__(self):
    self._processes = set()
    self._stop_requested = threading.Event()
    # Else a process may start after `request_stop` has ended the others.
    self._lock = threading.RLock()

  def call(
      self,
      module: str,
      arguments: Sequence[str],
      *,
      log: IO[str] | None = None,
      env: Mapping[str, str] | None = None,
  ) -> None:
    """Runs a program to its end; several threads may do so at once.

    Args:
      module: as in `python -m MODULE`.
      arguments: of its command line.
      log: where its output goes; None for that of this process.
      env: variables of its environment; None for those of this process.

    Raises:
      subprocess.CalledProcessError: if it failed.
      Stopped: if it was stopped, or was not started for a stop was requested.
    """
    command = [sys.executable, "-m", module, *arguments]
    with self._lock:
      if self._stop_requested.is_set():
        raise Stopped
      process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
      self._processes.add(process)
    code = process.wait()
    with self._lock:
      self._processes.remove(process)
    if self._stop_requested.is_set() and code:
      raise Stopped
    if code:
      raise subprocess.CalledProcessError(code, command)

  def request_stop(self) -> None:
    """Lets what is under way save and end; nothing else is begun."""
    with self._lock:
      self._stop_requested.set()
      for process in self._processes:
        process.terminate()


def environment(num_jobs: int) -> dict[str, str] | None:
  """Variables for processes of which so many share the cores.

  Args:
    num_jobs: processes at once.

  Returns:
    Those of this process, with a share of the threads; None for one job, which
    has them all.
  """
  if num_jobs == 1:
    return None
  cores = len(os.sched_getaffinity(0))
  threads = str(max(1, cores // num_jobs))
  names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
  return os.environ | dict.fromkeys(names, threads)
