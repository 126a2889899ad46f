"""Classified images in folders: `train/CLASS/*.jpg`, or `CLASS/*.jpg`."""

import filecmp
import functools
import hashlib
import os
import pathlib

from absl import logging

from image_data import class_folders
from image_data import decoding
from image_data import splits
from image_data import splitting

# What others call the splits.
_SYNONYMS = {"val": "validation", "valid": "validation"}
# Of pairs of the same name, so many are compared.
_COMPARED = 100


class ImageFolder:
  """Images as files, `SPLIT/CLASS/NAME.jpg`, read as they are needed.

  Serves as an `ImageDataset` does. Splits are `train`, `validation` (or `val`,
  `valid`) and `test`. What is missing is carved out of `train`: a share of it,
  in an order drawn once; where only `test` is missing, what is there as
  validation is `test`, as for ImageNet.

  Where there are no folders of splits, those of the classes, `CLASS/NAME.jpg`,
  are split by a hash of `CLASS/NAME`: an image that is added changes the place
  of no other.

  Args:
    path: of the folder.
    decoding_rules: of images.
    shares: of splits that have no folder.

  Attributes:
    name: the folder's name.
    num_classes: number of classes.
    class_names: the names of their folders, sorted.
    image_shape: (None, None, 3).
    has_equal_shapes: False.

  Raises:
    FileNotFoundError: if there is no such folder, or neither `train` nor
      classes in it.
    ValueError: if it is of another file system, a class is empty or has no
      image to train on, a split has a class that `train` has not, the name of
      a class is not one line of UTF-8, or two folders are of one split.
  """

  has_equal_shapes = False
  image_shape = (None, None, 3)

  def __init__(
      self,
      path: str | os.PathLike,
      *,
      decoding_rules: decoding.DecodingRules | None = None,
      shares: splitting.SplitShares | None = None,
  ):
    self.decoding_rules = decoding_rules or decoding.DecodingRules()
    if "://" in os.fspath(path):
      raise ValueError(
          f"A folder of images is one of this machine. Received: {path}"
      )
    path = pathlib.Path(path).expanduser()
    self.name = path.name
    shares = shares or splitting.SplitShares()
    found = _splits_in(path, shares)
    self.class_names = sorted(found["train"])
    self.num_classes = len(self.class_names)
    self._files = splitting.mixed_with_carved(
        {
            split: [
                (file, label)
                for label, name in enumerate(self.class_names)
                for file in classes.get(name, ())
            ]
            for split, classes in found.items()
        },
        shares,
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


def _splits_in(path, shares):
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
  if folders and set(splits.SPLITS).isdisjoint(folders):
    found = splitting.split_by_name(class_folders.read(path), shares)
    folders = {split: f"{path}: its split {split}" for split in found}
  elif "train" in folders:
    found = {
        s: class_folders.read(folders[s]) for s in splits.SPLITS if s in folders
    }
  else:
    raise FileNotFoundError(
        f"{path} has no folder 'train'. Expected train/CLASS/NAME.jpg, or "
        f"CLASS/NAME.jpg; found {', '.join(sorted(folders)) or 'no folder'}."
    )
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
