"""Whether results can be written: tried before the work, not after it."""

import os
import pathlib
import tempfile


def check_file(path: str | os.PathLike, *, instead: str) -> None:
  """Refuses a file that could not be written or replaced; leaves nothing.

  Args:
    path: of the file; its folders need not exist.
    instead: the flags that name another place, for the message.

  Raises:
    OSError: if something is in the way, or the folder takes no files.
  """
  path = pathlib.Path(path).absolute()
  if path.is_dir():
    raise IsADirectoryError(
        f"{path} is a folder; the file must go there. Give another {instead}, "
        "or move it away."
    )
  check_folder(path.parent, instead=instead)


def check_folder(folder: str | os.PathLike, *, instead: str) -> None:
  """Refuses a folder that could not be made or written; leaves nothing.

  Args:
    folder: path; it need not exist.
    instead: the flags that name another place, for the message.

  Raises:
    OSError: if something is in the way, or it takes no files.
  """
  folder = pathlib.Path(folder).absolute()
  found = next(path for path in (folder, *folder.parents) if path.exists())
  if not found.is_dir():
    raise NotADirectoryError(
        f"{folder} is to be a folder, but {found} is a file. Give another "
        f"{instead}, or move it away."
    )
  try:
    # Permissions do not tell: those of network disks, or of a full one.
    with tempfile.TemporaryFile(dir=found) as file:
      file.write(b"tried")
  except OSError as error:
    raise type(error)(
        f"{found} cannot be written: {error.strerror}. Give another {instead}."
    ) from error
