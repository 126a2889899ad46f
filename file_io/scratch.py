"""Folders in which something is made until it is whole."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import shutil
import tempfile

from absl import logging

from file_io import paths


@contextlib.contextmanager
def folder(parent: str | os.PathLike, prefix: str) -> Iterator[pathlib.Path]:
  """Yields a new folder, which is removed at the end.

  What was made in it, and renamed away, stands also where the folder cannot be
  removed: the log then names it.

  Args:
    parent: the folder that it lies in.
    prefix: of its name.
  """
  path = pathlib.Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
  try:
    yield path
  finally:
    remove(path)


@contextlib.contextmanager
def without_pattern(path: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields a path of a folder that TensorFlow does not take for a pattern.

  Args:
    path: of the folder, such as `seed[1]`.

  Yields:
    The same, or a link to it, which is there as long as the `with` lasts.
  """
  if not paths.is_pattern(path):
    yield path
    return
  with tempfile.TemporaryDirectory() as temporary:
    link = pathlib.Path(temporary) / "link"
    link.symlink_to(path.absolute(), target_is_directory=True)
    yield link


def remove(path: pathlib.Path, what: str = "a leftover") -> None:
  """Removes a file or folder that is not needed, or warns that it cannot be.

  Args:
    path: of it.
    what: it is, for the log.
  """
  try:
    if path.is_dir() and not path.is_symlink():
      shutil.rmtree(path)
    else:
      path.unlink()
  except OSError as error:
    logging.warning("%s, %s, cannot be removed: %s", path, what, error)
