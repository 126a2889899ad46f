"""Where exports go: checked before the work, not after it."""

from collections.abc import Iterable
import os
import pathlib
import re


def check(output_dir: str | os.PathLike, names: Iterable[str]) -> None:
  """Refuses what could not be written at the end; makes nothing.

  Args:
    output_dir: folder of all exports, which need not exist.
    names: of what will lie in it: folders of versions, and `.tflite` files.

  Raises:
    OSError: if something is in the way, or must not be written.
    ValueError: for a name that is not one of a folder and of a URL.
  """
  output_dir = pathlib.Path(output_dir).absolute()
  _check_folder(output_dir)
  for name in names:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
      raise ValueError(
          "--name names a folder and is part of a URL: letters, digits, and "
          f"_ . - behind the first. Received: {name!r}"
      )
    path = output_dir / name
    if path.suffix != ".tflite":
      _check_folder(path)
    elif path.is_dir():
      raise IsADirectoryError(f"{path} is a folder; the file must go there.")


def _check_folder(folder):
  found = next(path for path in (folder, *folder.parents) if path.exists())
  if not found.is_dir():
    raise NotADirectoryError(
        f"{folder} is to be a folder, but {found} is a file. Give another "
        "--output_dir or --name, or move it away."
    )
  if not os.access(found, os.W_OK | os.X_OK):
    raise PermissionError(f"{found} must not be written. Give --output_dir.")
