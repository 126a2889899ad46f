"""Tests of `image_data.splits`."""

import pytest

import image_data
from image_data import splits


def test_each_split_is_known():
  for split in image_data.SPLITS:
    splits.check_split(split)


@pytest.mark.parametrize("split", ["val", "", None])
def test_others_are_refused_with_those_that_there_are(split):
  with pytest.raises(ValueError, match="train, validation, test"):
    splits.check_split(split)
