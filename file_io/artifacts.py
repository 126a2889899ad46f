"""Files that programs leave behind: written whole or not at all.

Text is UTF-8, whatever the locale.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import errno
import json
import os
import pathlib
import tempfile
from typing import Any

Path = str | os.PathLike


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[pathlib.Path]:
  """Yields a path to write to, which takes the place of `path` at the end.

  Args:
    path: the file to write or replace; its directory is made.

  Yields:
    A path in the same directory with the same suffix, of a name that no other
    process has. If the body raises, it is removed and what was at `path` stays.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  handle, name = tempfile.mkstemp(
      dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
  )
  os.close(handle)
  temporary = pathlib.Path(name)
  try:
    yield temporary
    temporary.chmod(0o644)
    _flush_to_disk(temporary)
    os.replace(temporary, path)
  except OSError as error:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    raise OSError(
        error.errno,
        f"{path} could not be written, what was there stays",
        error.strerror,
    ) from error
  finally:
    temporary.unlink(missing_ok=True)


def _flush_to_disk(path):
  # Else, a rename may outlive a power cut that its content does not.
  with path.open("rb") as file:
    os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
  """Writes a text file."""
  with replacing(path) as temporary:
    temporary.write_text(text, "utf-8")


def write_json(path: Path, value: Any) -> None:
  """Writes a JSON file; NaN and infinity are refused (ValueError)."""
  write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
  """Reads a JSON file.

  Raises:
    ValueError: if it is not JSON; names the file.
  """
  try:
    return json.loads(pathlib.Path(path).read_text("utf-8"))
  except json.JSONDecodeError as error:
    raise ValueError(f"{path} is not a whole JSON file: {error}") from error


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
  """Writes one JSON value a line."""
  lines = [json.dumps(value, allow_nan=False) + "\n" for value in values]
  write_text(path, "".join(lines))


def read_json_lines(path: Path) -> list[Any]:
  """Reads one JSON value a line; an absent file is an empty list.

  Raises:
    ValueError: if a line is not JSON; names the file.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return []
  lines = path.read_text("utf-8").splitlines()
  try:
    return [json.loads(line) for line in lines if line]
  except json.JSONDecodeError as error:
    raise ValueError(f"{path} holds a line that is no JSON: {error}") from error
