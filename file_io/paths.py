"""Paths as they are given on command lines."""

import os
import re

# Of file systems that TensorFlow Datasets reads by itself.
_OF_DATA = ("gs://", "s3://", "az://", "hf://")


def local(path: str) -> str:
  """A path of this machine, `~` expanded.

  Raises:
    ValueError: if its scheme is that of another file system.
  """
  scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path)
  if scheme:
    raise ValueError(
        f"{scheme[0]} is no file system of this machine: give a local path (of "
        f"another one only --data_dir may be: {', '.join(_OF_DATA)})."
    )
  return os.path.expanduser(path)


def of_data(path: str) -> str:
  """A path of prepared data sets, also of file systems that TFDS reads.

  Raises:
    ValueError: if its scheme is that of another file system.
  """
  return path if is_remote(path) else local(path)


def is_pattern(path: str | os.PathLike) -> bool:
  """Whether TensorFlow takes a path for a pattern, and so cannot read it."""
  return not set("*?[\\").isdisjoint(os.fspath(path))


def is_remote(path: str) -> bool:
  """Whether TFDS reads a path from another file system."""
  return path.startswith(_OF_DATA)
