"""One process at a time in a folder."""

import contextlib
import fcntl
import pathlib

_NAME = ".lock"


class InUse(OSError):
  """Another process has the folder."""


@contextlib.contextmanager
def only_one(folder):
  """Keeps a folder for this process; the system lets go when it ends.

  Args:
    folder: path; it is made, and holds a file `.lock` from then on. Where
      nothing else has come into it, it is as before.

  Raises:
    InUse: if another process has it.
  """
  folder = pathlib.Path(folder)
  is_new = not folder.exists()
  folder.mkdir(parents=True, exist_ok=True)
  with (folder / _NAME).open("w") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise InUse(
          f"Another process is at work in {folder}. Wait for its end, stop it, "
          "or give another folder."
      ) from error
    try:
      yield
    finally:
      if [path.name for path in folder.iterdir()] == [_NAME]:
        (folder / _NAME).unlink()
        if is_new:
          folder.rmdir()
