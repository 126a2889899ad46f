"""One process at a time in a folder."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import socket
import time

import filelock

_NAME = ".lock"
_SECONDS = 0.2  # For a process that is just ending.


class InUse(OSError):
  """Another process has the folder."""


@contextlib.contextmanager
def only_one(folder: str | os.PathLike) -> Iterator[None]:
  """Keeps a folder for this process; the system lets go when it ends.

  Args:
    folder: path; it is made, and holds a file `.lock` from then on, which says
      who has it. Where nothing else has come into it, it is as before.

  Raises:
    InUse: if another process has it; says which.
  """
  folder = pathlib.Path(folder)
  is_new = not folder.exists()
  folder.mkdir(parents=True, exist_ok=True)
  # No file as the lock where the system has none: it would outlive a process
  # that is killed.
  lock = filelock.FileLock(folder / _NAME, fallback_to_soft=False)
  try:
    held = lock.acquire(timeout=_SECONDS, poll_interval=_SECONDS / 4)
  except filelock.Timeout as error:
    raise InUse(
        f"{_holder(folder)} is at work in {folder}. Wait for its end, stop it, "
        "or give another folder."
    ) from error
  with held:
    try:
      (folder / _NAME).write_text(
          f"Process {os.getpid()} on {socket.gethostname()}"
      )
      yield
    finally:
      if [path.name for path in folder.iterdir()] == [_NAME]:
        (folder / _NAME).unlink()
        if is_new:
          folder.rmdir()


def wait_until_free(
    folder: str | os.PathLike,
    *,
    echo: Callable[[str], None] = print,
    seconds: float = 1.0,
) -> None:
  """Waits until no process has a folder; it need not be there.

  Args:
    folder: path.
    echo: prints a line on who is waited for, once.
    seconds: between two looks.
  """
  told = False
  while pathlib.Path(folder).exists():
    try:
      with only_one(folder):
        return
    except InUse:
      if not told:
        echo(
            f"{_holder(pathlib.Path(folder))} is at work in {folder}: waiting."
        )
        told = True
      time.sleep(seconds)


def _holder(folder):
  try:
    return (folder / _NAME).read_text() or "Another process"
  except FileNotFoundError:  # It has just ended.
    return "Another process"
