"""Files that programs leave behind: written whole or not at all.

Text is UTF-8, whatever the locale.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import errno
import json
import os
import pathlib
import tempfile
from typing import Any

Path = str | os.PathLike
# What a JSON value must look like: a type (`float` is any number, `object` any
# value); a list of one shape, for each entry; or a dict of shapes, for what an
# object must have. The key `str` stands for all keys there are.
Shape = type | list | Mapping

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "a whole number",
    float: "a number",
}


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
    put_in_place(temporary, path)
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


def put_in_place(temporary: pathlib.Path, path: Path) -> None:
  """Renames a whole file of the same file system to its name."""
  temporary.chmod(0o644)
  # Else, a rename may outlive a power cut that its content does not.
  with temporary.open("rb") as file:
    os.fsync(file.fileno())
  os.replace(temporary, path)


def write_text(path: Path, text: str) -> None:
  """Writes a text file."""
  with replacing(path) as temporary:
    temporary.write_text(text, "utf-8")


def write_json(path: Path, value: Any) -> None:
  """Writes a JSON file; NaN and infinity are refused (ValueError)."""
  write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, shape: Shape = object, *, writer: str = "") -> Any:
  """Reads a JSON file.

  Args:
    path: of the file.
    shape: what the reader relies on.
    writer: the program that writes such files, to be named in errors.

  Raises:
    ValueError: if it is not JSON, or not of that shape; names the file.
  """
  try:
    value = json.loads(pathlib.Path(path).read_text("utf-8"))
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise ValueError(f"{path} is not a whole JSON file: {error}") from error
  check_shape(value, shape, path, writer=writer)
  return value


def check_shape(value: Any, shape: Shape, place: Path, *, writer: str) -> None:
  """Raises a ValueError for a value of another shape.

  Args:
    value: of a JSON file.
    shape: what the reader relies on.
    place: the file, for the message.
    writer: the program that writes it, for the message.
  """
  found = _misfit(value, shape, "it")
  if found:
    raise ValueError(f"{place} is no file of {writer}: {found}.")


def _misfit(value, shape, name):
  """What is wrong with a value; None if it has the shape."""
  kind = shape if isinstance(shape, type) else list
  kind = dict if isinstance(shape, Mapping) else kind
  if not _is(value, kind):
    text = json.dumps(value)
    shown = text if len(text) < 40 else f"{text[:36]} ..."
    return f"{name} is {shown}, and not {_KINDS[kind]}"
  if isinstance(shape, type):
    return None
  if isinstance(shape, list):
    parts = ((f"{name}[{i}]", v, shape[0]) for i, v in enumerate(value))
  else:
    of = "" if name == "it" else f"{name}."
    wanted = dict.fromkeys(value, shape[str]) if str in shape else shape
    missing = next((key for key in wanted if key not in value), None)
    if missing is not None:
      return f"{of}{missing} is missing"
    parts = ((f"{of}{key}", value[key], wanted[key]) for key in wanted)
  found = (_misfit(each, part, place) for place, each, part in parts)
  return next(filter(None, found), None)


def _is(value, kind):
  if isinstance(value, bool):  # To Python it is a number.
    return kind in (bool, object)
  return isinstance(value, (int, float) if kind is float else kind)


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
  """Writes one JSON value a line."""
  lines = [json.dumps(value, allow_nan=False) + "\n" for value in values]
  write_text(path, "".join(lines))


def read_json_lines(
    path: Path, shape: Shape = object, *, writer: str = ""
) -> list[Any]:
  """Reads one JSON value a line; an absent file is an empty list.

  Args:
    path: of the file.
    shape: what the reader relies on in each line.
    writer: as in `read_json`.

  Raises:
    ValueError: if a line is not JSON, or not of that shape; names the file.
  """
  path = pathlib.Path(path)
  if not path.exists():
    return []
  try:
    lines = path.read_text("utf-8").splitlines()
    values = [json.loads(line) for line in lines if line]
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise ValueError(f"{path} holds a line that is no JSON: {error}") from error
  for number, value in enumerate(values, start=1):
    check_shape(value, shape, f"{path}, line {number},", writer=writer)
  return values
