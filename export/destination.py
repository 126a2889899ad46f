"""Where exports go: checked before the work, not after it."""

from collections.abc import Iterable
import os
import pathlib
import re

from file_io import writable

_FLAGS = "--output_dir or --name"


def check(output_dir: str | os.PathLike, names: Iterable[str]) -> None:
  """Refuses what could not be written at the end; leaves nothing.

  Args:
    output_dir: folder of all exports, which need not exist.
    names: of what will lie in it: folders of versions, and `.tflite` files.

  Raises:
    OSError: if something is in the way, or cannot be written.
    ValueError: for a name that is not one of a folder and of a URL.
  """
  output_dir = pathlib.Path(output_dir)
  writable.check_file(output_dir / "export.json", instead="--output_dir")
  for name in names:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
      raise ValueError(
          "--name names a folder and is part of a URL: letters, digits, and "
          f"_ . - behind the first. Received: {name!r}"
      )
    path = output_dir / name
    is_file = path.suffix == ".tflite"
    check_one = writable.check_file if is_file else writable.check_folder
    check_one(path, instead=_FLAGS)
