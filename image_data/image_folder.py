"""Classified images in folders: `train/CLASS/*.jpg`."""

import collections
import filecmp
import functools
import hashlib
import os
import pathlib

from absl import logging
import numpy as np

from image_data import decoding
from image_data import splits

# What others call the splits.
_SYNONYMS = {"val": "validation", "valid": "validation"}
_CARVED_SHARE = 10  # One in so many.
# Of pairs of the same name, so many are compared.
_COMPARED = 100
# Folders that programs leave in others, beside those whose names begin with a
# dot (.git, .ipynb_checkpoints): unpacked archives, and network drives.
_LEFT_BEHIND = ("__MACOSX", "@eaDir")


class ImageFolder:
  """Images as files, `SPLIT/CLASS/NAME.jpg`, read as they are needed.

  Serves as an `ImageDataset` does. Splits are `train`, `validation` (or `val`,
  `valid`) and `test`. What is missing is carved out of `train`: every tenth
  image, in an order drawn once; where only `test` is missing, what is there as
  validation is `test`, as for ImageNet.

  Args:
    path: of the folder.
    decoding_rules: of images.

  Attributes:
    name: the folder's name.
    num_classes: number of classes.
    class_names: the names of their folders, sorted.
    image_shape: (None, None, 3).
    has_equal_shapes: False.

  Raises:
    FileNotFoundError: if there is no such folder, or no `train` in it.
    ValueError: if it is of another file system, a class is empty, a split has
      a class that `train` has not, the name of a class is not one line of
      UTF-8, or two folders are of one split.
  """

  has_equal_shapes = False
  image_shape = (None, None, 3)

  def __init__(
      self,
      path: str | os.PathLike,
      *,
      decoding_rules: decoding.DecodingRules | None = None,
  ):
    self.decoding_rules = decoding_rules or decoding.DecodingRules()
    if "://" in os.fspath(path):
      raise ValueError(
          f"A folder of images is one of this machine. Received: {path}"
      )
    path = pathlib.Path(path).expanduser()
    self.name = path.name
    found = _splits_in(path)
    self.class_names = sorted(found["train"])
    self.num_classes = len(self.class_names)
    self._files = _mixed_with_carved(
        {
            split: [
                (file, label)
                for label, name in enumerate(self.class_names)
                for file in classes.get(name, ())
            ]
            for split, classes in found.items()
        }
    )
    self._path = path

  @functools.cached_property
  def version(self) -> str:
    """A digest of which file is in which split."""
    content = hashlib.sha256()
    for split in splits.SPLITS:
      for file in sorted(file for file, _ in self._files[split]):
        place = os.fsencode(file.removeprefix(f"{self._path}{os.sep}"))
        content.update(split.encode() + b"\0" + place + b"\0")
    return content.hexdigest()[:16]

  def num_examples(self, split: str) -> int:
    """Returns the number of images of "train", "validation" or "test"."""
    return len(self._split(split))

  def fits_in_memory(self, split: str) -> bool:
    """Returns False: files are read when they are needed."""
    del split
    return False

  def files(self, split: str) -> tuple[list[str], list[int]]:
    """Lists a split in an order that is always the same, and mixes classes.

    Who reads the first few images of a split thus sees all of it.

    Args:
      split: "train", "validation" or "test".

    Returns:
      Paths and labels.
    """
    paths, labels = zip(*self._split(split), strict=True)
    return list(paths), list(labels)

  def _split(self, split):
    splits.check_split(split)
    return self._files[split]


def _splits_in(path):
  """split -> class -> names of files below the split's folder."""
  if not path.is_dir():
    raise FileNotFoundError(f"There is no folder {path}.")
  folders = {}
  for folder in sorted(path.iterdir()):
    if folder.is_dir():
      split = _SYNONYMS.get(folder.name, folder.name)
      if split in folders:
        raise ValueError(
            f"{folders[split]} and {folder} are both the {split} images. Keep "
            "one of them."
        )
      folders[split] = folder
  if "train" not in folders:
    raise FileNotFoundError(
        f"{path} has no folder 'train'. Expected train/CLASS/NAME.jpg; found "
        f"{', '.join(sorted(folders)) or 'no folder'}."
    )
  found = {s: _classes_in(folders[s]) for s in splits.SPLITS if s in folders}
  for split, classes in found.items():
    unknown = sorted(set(classes) - set(found["train"]))
    if unknown:
      raise ValueError(
          f"{folders[split]} has classes that train has not: "
          f"{', '.join(unknown)}."
      )
    _warn_of_classes(folders[split], split, classes, found["train"])
    if split != "train":
      _warn_of_copies(folders[split], classes, found["train"])
  return found


def _warn_of_classes(folder, split, classes, of_train):
  if split == "train" and len(classes) == 1:
    logging.warning(
        "%s has one class alone, %s: any network is right about it.",
        folder,
        *classes,
    )
  missing = sorted(set(of_train) - set(classes))
  if missing and split == "validation":
    logging.warning(
        "%s has no images of the classes %s, which train has.",
        folder,
        ", ".join(missing),
    )


def _warn_of_copies(folder, classes, of_train):
  """Warns of images that `train` has, too, under the same name."""
  own = {
      (name, os.path.basename(file)): file
      for name, files in classes.items()
      for file in files
  }
  pairs = [
      (own[key], file)
      for name in classes
      for file in of_train[name]
      if (key := (name, os.path.basename(file))) in own
  ]
  compared = pairs[:: len(pairs) // _COMPARED + 1]
  same = [pair for pair in compared if filecmp.cmp(*pair, shallow=False)]
  if same:
    logging.warning(
        "%s and train share images: of %d files of the same name, %d were "
        "compared and %d are the same (such as %s and %s). A network knows "
        "them already; what is measured on them says nothing of new images.",
        folder,
        len(pairs),
        len(compared),
        len(same),
        *same[0],
    )


def _classes_in(folder):
  classes, omitted = {}, collections.defaultdict(list)
  for part in filter(pathlib.Path.is_dir, sorted(folder.iterdir())):
    if part.name.startswith(".") or part.name in _LEFT_BEHIND:
      omitted["hidden folders"].append(str(part))
      continue
    _check_name(part)
    images = classes[part.name] = []
    for path in sorted(map(str, part.iterdir())):
      kind = _kind_to_omit(path)
      if kind is None:
        images.append(path)
      else:
        omitted[kind].append(path)
  if omitted:
    logging.warning(
        "%s: omitted %s. Expected CLASS/NAME with one of %s.",
        folder,
        ", ".join(
            f"{len(paths)} {kind} (such as {paths[0]})"
            for kind, paths in sorted(omitted.items())
        ),
        ", ".join(decoding.SUFFIXES),
    )
  empty = [name for name, files in classes.items() if not files]
  if empty or not classes:
    what = f"the classes {', '.join(empty)}" if empty else "it"
    raise ValueError(
        f"In {folder}, {what} is without images. Expected CLASS/NAME with one "
        f"of {', '.join(decoding.SUFFIXES)}."
    )
  return classes


def _check_name(folder):
  """Refuses a name that does not fit into a list of one class a line."""
  name = folder.name
  try:
    name.encode()
  except UnicodeEncodeError as error:
    raise ValueError(
        f"The name of the folder {os.fsencode(folder)!r} is not UTF-8, so that "
        "it cannot be the name of a class. Rename it."
    ) from error
  if name.splitlines() != [name]:
    raise ValueError(
        f"The name of the folder {str(folder)!r} holds a line break, and names "
        "of classes are kept one a line. Rename it."
    )


def _kind_to_omit(path):
  """What a path in a class is, if it is no image; else None."""
  name = os.path.basename(path)
  if name.startswith("."):
    return "hidden files"  # On macOS, `._NAME.jpg` is no image.
  if os.path.isdir(path):
    return "folders in classes"
  if os.path.splitext(name)[1].lower() in decoding.SUFFIXES:
    return None
  return "files of other endings"


def _mixed_with_carved(files):
  """All three splits, mixed: what is missing comes out of `train`."""
  rng = np.random.default_rng(0)
  files = {
      split: [of_split[place] for place in rng.permutation(len(of_split))]
      for split, of_split in files.items()
  }
  if "test" not in files and "validation" in files:
    files["test"] = files.pop("validation")
  missing = [split for split in ("validation", "test") if split not in files]
  train = files["train"]
  count = len(train) // _CARVED_SHARE
  for i, split in enumerate(missing):
    files[split] = train[i * count : (i + 1) * count]
  files["train"] = train[len(missing) * count :]
  for split, of_split in files.items():
    if not of_split:
      raise ValueError(
          f"There are too few images in 'train' to take {split} out of them: "
          f"{len(train)}. Expected {_CARVED_SHARE} at least, or a folder "
          f"{split!r}."
      )
  return files
