"""Data sets in IDX files, the format of MNIST, as TFDS prepares them.

TFDS would download the files; here they lie on this machine, such as those of
Debian's package `dataset-fashion-mnist`.
"""

from collections.abc import Iterator
import gzip
import os
import pathlib
import struct
import zlib

import numpy as np
import tensorflow_datasets as tfds

# TFDS's data sets that come as IDX files.
NAMES = ("mnist", "fashion_mnist", "kmnist", "emnist")
# Where Debian's packages put data sets.
_INSTALLED = pathlib.Path("/usr/share/datasets")
_SPLITS = {"train": "train", "test": "t10k"}  # In names of files.
_UBYTE = 8
_SIDE = 28


def check_name(name: str, folder: str | os.PathLike | None) -> None:
  """Refuses a folder that is given for what does not come as IDX files.

  Args:
    name: of a data set.
    folder: None if none was given.

  Raises:
    ValueError: if it means nothing.
  """
  if folder is not None and name not in NAMES:
    raise ValueError(
        f"--idx_folder is for {', '.join(NAMES)}. Received for {name}."
    )


def find(name: str, folder: str | os.PathLike | None) -> pathlib.Path | None:
  """The folder with the files of a data set.

  Args:
    name: of the data set.
    folder: that was given; None for that of Debian's package.

  Returns:
    A path; None if none was given, and no package is installed.
  """
  if folder is not None:
    return pathlib.Path(folder).expanduser()
  installed = _INSTALLED / name.replace("_", "-")
  return installed if name in NAMES and installed.is_dir() else None


def read_all(
    builder: tfds.core.DatasetBuilder, folder: pathlib.Path
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Reads the files of a data set.

  Args:
    builder: of TFDS, one of `NAMES`.
    folder: with the files.

  Returns:
    split -> images, uint8 [examples, 28, 28, 1], and labels, uint8 [examples].

  Raises:
    FileNotFoundError: if a file is missing.
    ValueError: if a file is damaged, or of another data set; names it.
  """
  return {split: _read_pair(builder, folder, split) for split in _SPLITS}


def builder_of(
    arrays: dict[str, tuple[np.ndarray, np.ndarray]],
    builder: tfds.core.DatasetBuilder,
    *,
    data_dir: str,
) -> tfds.core.DatasetBuilder:
  """A builder of the same data set, of what was read in place of a download.

  Args:
    arrays: of `read_all`.
    builder: of TFDS.
    data_dir: of the new one.

  Returns:
    A builder that writes what TFDS itself would.
  """

  class FromFiles(type(builder), skip_registration=True):
    name = builder.name

    def _split_generators(self, dl_manager):
      del dl_manager  # Nothing is downloaded.
      return {split: _examples(*pair) for split, pair in arrays.items()}

  config = builder.builder_config
  return FromFiles(
      data_dir=data_dir,
      config=config and config.name,
      version=str(builder.version),
  )


def advice(name: str) -> str:
  """How else to get a data set; empty where there is no other way."""
  if name not in NAMES:
    return ""
  package = ""
  if name == "fashion_mnist":
    package = ", or install Debian's package dataset-fashion-mnist"
  return f" Or name the folder of its IDX files (--idx_folder){package}."


def _examples(images: np.ndarray, labels: np.ndarray) -> Iterator:
  for key, (image, label) in enumerate(zip(images, labels, strict=True)):
    yield key, {"image": image, "label": int(label)}


def _find_pair(builder, folder, split):
  """The paths of images and labels."""
  config = builder.builder_config
  prefix = f"emnist-{config.name}-{split}" if config else _SPLITS[split]
  found = []
  for kind in ("images-idx3", "labels-idx1"):
    name = f"{prefix}-{kind}-ubyte"
    paths = [folder / name, folder / f"{name}.gz"]
    there = [path for path in paths if path.is_file()]
    if not there:
      raise FileNotFoundError(
          f"{folder} has no {name}, or {name}.gz, of {builder.name}. Expected "
          "its four IDX files, images and labels to train and to test on."
      )
    found.append(there[0])
  return found


def _read_pair(builder, folder, split):
  """Images, uint8 [examples, 28, 28, 1], and labels, uint8 [examples]."""
  image_path, label_path = _find_pair(builder, folder, split)
  images, labels = read(image_path, 3), read(label_path, 1)
  if images.shape[1:] != (_SIDE, _SIDE):
    height, width = images.shape[1:]
    raise ValueError(
        f"{image_path} holds images of {height} x {width} pixels. Expected "
        f"those of {builder.name}, {_SIDE} x {_SIDE}."
    )
  if len(images) != len(labels):
    raise ValueError(
        f"{image_path} holds {len(images)} images, and {label_path} "
        f"{len(labels)} labels. Expected as many of both."
    )
  num_classes = builder.info.features["label"].num_classes
  if len(labels) and labels.max() >= num_classes:
    raise ValueError(
        f"{label_path} holds the label {labels.max()}. Expected those of "
        f"{builder.name}, 0 to {num_classes - 1}."
    )
  return images[..., np.newaxis], labels


def read(path: str | os.PathLike, rank: int) -> np.ndarray:
  """Reads a file.

  Args:
    path: of the file, as it is or compressed by gzip (`.gz`).
    rank: number of its dimensions.

  Returns:
    uint8, an array of that rank.

  Raises:
    ValueError: if it is damaged, or something else; names it.

  References:
    http://yann.lecun.com/exdb/mnist/, "The IDX file format".
  """
  path = pathlib.Path(path)
  content = path.read_bytes()
  if path.suffix == ".gz":
    try:
      content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
      raise ValueError(f"{path} is no whole gzip file: {error}") from error
  magic = bytes([0, 0, _UBYTE, rank])
  if content[:4] != magic:
    raise ValueError(
        f"{path} is no IDX file of bytes in {rank} dimensions. Expected it to "
        f"begin with {magic.hex(' ')}; it begins with "
        f"{content[:4].hex(' ') or 'nothing'}."
    )
  start = 4 + 4 * rank
  if len(content) < start:
    raise ValueError(f"{path} is cut off: it ends within its header.")
  shape = struct.unpack(f">{rank}I", content[4:start])
  expected, received = int(np.prod(shape, dtype=object)), len(content) - start
  if received != expected:
    what = "is cut off" if received < expected else "is longer than it says"
    raise ValueError(
        f"{path} {what}: its header is of {' x '.join(map(str, shape))} bytes, "
        f"{expected}; {received} follow."
    )
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
