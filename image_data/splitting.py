"""Which images of a folder are of which split, where no folder says so."""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import hashlib
import os

import numpy as np

from image_data import splits

# Path and label.
Image = tuple[str, int]


@dataclasses.dataclass(frozen=True)
class SplitShares:
  """How much of a folder's images its missing splits get.

  Args:
    validation: share of the images, in (0, 1).
    test: share of the images, in (0, 1).

  Raises:
    ValueError: if one is out of range, or nothing is left to train on.
  """

  validation: float = 0.1
  test: float = 0.1

  def __post_init__(self):
    for name, share in dataclasses.asdict(self).items():
      if not 0 < share < 1:
        raise ValueError(
            f"--{name}_share is a share of the images, above 0 and below 1. "
            f"Received: {share!r}"
        )
    if self.validation + self.test >= 1:
      raise ValueError(
          "--validation_share and --test_share leave no image to train on. "
          f"Received: {self.validation!r} and {self.test!r}"
      )


def split_by_name(
    classes: Mapping[str, Sequence[str]], shares: SplitShares
) -> dict[str, dict[str, list[str]]]:
  """Splits classes by a hash of `CLASS/NAME`.

  Args:
    classes: class -> paths of its images.
    shares: `SplitShares`.

  Returns:
    split -> class -> paths.

  Raises:
    ValueError: if a class has no image to train on.
  """
  found = {split: collections.defaultdict(list) for split in splits.SPLITS}
  for name, files in classes.items():
    for file in files:
      key = os.fsencode(os.path.join(name, os.path.basename(file)))
      digest = hashlib.sha256(key).digest()
      place = int.from_bytes(digest[:6]) / 2**48
      if place < shares.validation:
        split = "validation"
      elif place < shares.validation + shares.test:
        split = "test"
      else:
        split = "train"
      found[split][name].append(file)
    if name not in found["train"]:
      raise ValueError(
          f"The class {name} has {len(files)} images, none of them to train on,"
          f" with {shares}. Expected more images, or folders train, validation "
          "and test."
      )
  return found


def mixed_with_carved(
    files: Mapping[str, Sequence[Image]], shares: SplitShares
) -> dict[str, list[Image]]:
  """All three splits, mixed: what is missing comes out of `train`.

  Args:
    files: split -> paths and labels.
    shares: of what is missing, `SplitShares`.

  Returns:
    The same of all splits.

  Raises:
    ValueError: if there are too few images.
  """
  rng = np.random.default_rng(0)
  files = {
      split: [of_split[place] for place in rng.permutation(len(of_split))]
      for split, of_split in files.items()
  }
  if "test" not in files and "validation" in files:
    files["test"] = files.pop("validation")
  missing = [split for split in ("validation", "test") if split not in files]
  train = files["train"]
  start = 0
  for split in missing:
    # As exact as a share of three digits is.
    count = int(len(train) * getattr(shares, split) + 1e-6)
    files[split] = train[start : start + count]
    start += count
  files["train"] = train[start:]
  for split, of_split in files.items():
    if not of_split:
      raise ValueError(
          f"There are too few images, {sum(map(len, files.values()))}, to take "
          f"{split} out of them. Expected more, a larger share "
          f"(--validation_share, --test_share), or a folder {split!r}."
      )
  return files
