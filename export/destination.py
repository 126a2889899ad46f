"""Where exports go: checked before the work, and filled after it."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import re
import tempfile

import tensorflow as tf

from export.saved_model import saved_models
from file_io import artifacts
from file_io import locks
from file_io import paths
from file_io import scratch
from file_io import writable

_FLAGS = "--output_dir or --name"
_STAGING = ".exporting-"
# What an export leaves that was killed; older ones made a folder for each name.
_LEFTOVER = r"\.\w[\w.-]*-[a-z0-9_]{8}(\.tflite|\.json|\.config)?"
_DESCRIPTIONS = (".export-", ".models-")


def check(output_dir: str | os.PathLike, names: Iterable[str]) -> None:
  """Refuses what could not be written at the end; leaves nothing.

  Args:
    output_dir: folder of all exports, which need not exist.
    names: of what will lie in it: folders of versions, and `.tflite` files.

  Raises:
    OSError: if something is in the way, or cannot be written.
    ValueError: for a name that is not one of a folder and of a URL, or a folder
      of which no SavedModel could be loaded.
  """
  output_dir, names = pathlib.Path(output_dir), list(names)
  if not all(map(_is_file, names)):
    check_can_be_loaded(output_dir, "--output_dir")
  writable.check_file(output_dir / "export.json", instead="--output_dir")
  for name in names:
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
      raise ValueError(
          "--name names a folder and is part of a URL: letters, digits, and "
          f"_ . - behind the first. Received: {name!r}"
      )
    check_one = writable.check_file if _is_file(name) else writable.check_folder
    check_one(output_dir / name, instead=_FLAGS)


def check_can_be_loaded(folder: str | os.PathLike, flag: str) -> None:
  """Refuses a folder of which TensorFlow could load no SavedModel.

  Args:
    folder: to write SavedModels to.
    flag: that says so.

  Raises:
    ValueError: if TensorFlow takes its path for a pattern.
  """
  folder = pathlib.Path(folder).absolute()
  if paths.is_pattern(folder):
    raise ValueError(
        f"{flag} must not hold * ? [ or \\: TensorFlow takes such a path for a "
        f"pattern, so that no server could load from it. Received: {folder}"
    )


def _is_file(name):
  return name.endswith(".tflite")


@contextlib.contextmanager
def staged(output_dir: str | os.PathLike) -> Iterator[pathlib.Path]:
  """Keeps a folder for this export, and yields one inside to write to.

  Nothing in there is served before `publish` has moved it out; what is left in
  it is removed, as is what killed exports have left.

  Args:
    output_dir: folder of all exports; it is made.

  Raises:
    InUse: an OSError, if another process exports into the folder.
  """
  output_dir = pathlib.Path(output_dir)
  with locks.only_one(output_dir):
    for path in filter(_is_leftover, sorted(output_dir.iterdir())):
      scratch.remove(path)
    with scratch.folder(output_dir, _STAGING) as staging:
      yield staging


def _is_leftover(path):
  if not re.fullmatch(_LEFTOVER, path.name, re.ASCII):
    return False
  if path.is_dir():
    made = {each.name for each in path.iterdir()}
    return path.name.startswith(_STAGING) or made <= {"whole"}
  is_description = path.name.startswith(_DESCRIPTIONS)
  return _is_file(path.name) or bool(is_description and path.suffix)


@contextlib.contextmanager
def naming_full_disk(output_dir: str | os.PathLike) -> Iterator[None]:
  """Says in words that there is no space for an export.

  Args:
    output_dir: folder of all exports.

  Raises:
    OSError: in place of TensorFlow's and the system's errors.
  """
  try:
    yield
  except (OSError, tf.errors.ResourceExhaustedError) as error:
    number = getattr(error, "errno", errno.ENOSPC)
    if number not in (errno.ENOSPC, errno.EDQUOT):
      raise
    raise OSError(
        f"No space on the disk of {output_dir} or of {tempfile.gettempdir()}, "
        f"or no memory: {str(error).splitlines()[0]}. Nothing was published; "
        "what was there stays."
    ) from error


def publish(
    staging: pathlib.Path, output_dir: pathlib.Path, names: Iterable[str]
) -> dict[str, str]:
  """Puts what was written in its place.

  Args:
    staging: that `staged` yields.
    output_dir: folder of all exports.
    names: of what lies in it.

  Returns:
    Where each is now, below `output_dir`: a version, or a file.
  """
  places = {}
  for name in names:
    if _is_file(name):
      artifacts.put_in_place(staging / name, output_dir / name)
      places[name] = name
    else:
      version = saved_models.publish(staging / name, output_dir / name)
      places[name] = f"{name}/{version}"
  if not all(map(_is_file, places)):
    saved_models.write_models_config(output_dir)
  return places
