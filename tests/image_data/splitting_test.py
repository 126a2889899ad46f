"""Tests of `image_data.splitting`."""

import collections
import hashlib

from PIL import Image
import pytest

import image_data
from image_data import splitting

_NAMES = {name: [f"{i:04}.png" for i in range(400)] for name in ("ant", "bee")}


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory):
  path = tmp_path_factory.mktemp("photos")
  for name, files in _NAMES.items():
    (path / name).mkdir()
    for file in files:
      Image.new("L", (2, 2)).save(path / name / file)
  return path


def _splits(path, **kwargs):
  """`CLASS/NAME` -> split."""
  folder = image_data.ImageFolder(path, **kwargs)
  return {
      file.removeprefix(f"{path}/"): split
      for split in image_data.SPLITS
      for file in folder.files(split)[0]
  }


def test_folders_of_classes_alone_are_split_by_hashes_of_names(path):
  found = _splits(path, shares=image_data.SplitShares(0.2, 0.3))
  assert len(found) == 800
  for key, split in found.items():
    place = int(hashlib.sha256(key.encode()).hexdigest()[:12], 16) / 16**12
    expected = (place >= 0.2) + (place >= 0.5)
    assert split == ("validation", "test", "train")[expected]


def test_labels_are_those_of_the_folders(path):
  folder = image_data.ImageFolder(path)
  assert folder.class_names == ["ant", "bee"]
  for split in image_data.SPLITS:
    for file, label in zip(*folder.files(split), strict=True):
      assert file.split("/")[-2] == folder.class_names[label]


def test_shares_are_a_tenth_each_unless_they_are_given(path):
  counts = collections.Counter(_splits(path).values())
  # Four standard deviations of 800 draws.
  assert abs(counts["validation"] - 80) < 34 and abs(counts["test"] - 80) < 34


def test_an_image_more_moves_no_other(path, tmp_path):
  before = _splits(path)
  for name, files in _NAMES.items():
    (tmp_path / name).mkdir()
    for file in [*files, "new.png"]:
      (tmp_path / name / file).touch()
  after = _splits(tmp_path)
  assert {k: after[k] for k in before} == before and len(after) == 802


def test_what_train_gives_up_is_a_share_of_it(path, tmp_path):
  (tmp_path / "train").symlink_to(path)
  folder = image_data.ImageFolder(
      tmp_path, shares=image_data.SplitShares(0.25, 0.05)
  )
  numbers = [folder.num_examples(split) for split in image_data.SPLITS]
  assert numbers == [560, 200, 40]


def test_a_class_without_an_image_to_train_on_is_refused():
  shares = splitting.SplitShares(0.49, 0.5)
  files = {f"class{i}": ["a.jpg"] for i in range(30)}
  with pytest.raises(ValueError, match="has 1 images, none of them to train"):
    splitting.split_by_name(files, shares)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.0, 0.1), "--validation_share .*above 0.*Received: 0.0"),
        ((0.1, 1.0), "--test_share .*below 1. Received: 1.0"),
        ((float("nan"), 0.1), "Received: nan"),
        ((0.5, 0.5), "leave no image to train on"),
    ],
)
def test_shares_that_are_none_are_refused(shares, message):
  with pytest.raises(ValueError, match=message):
    splitting.SplitShares(*shares)
