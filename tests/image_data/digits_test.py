"""Tests of image_data/digits.py."""

import numpy as np
import pytest
from sklearn import datasets as sklearn_datasets
import tensorflow_datasets as tfds

from image_data import digits

NUM_EXAMPLES = {"train": 1197, "validation": 300, "test": 300}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
  builder = digits.Digits(data_dir=tmp_path_factory.mktemp("digits"))
  builder.download_and_prepare()
  return builder


def read(builder, split):
  """Returns the images and labels of a split in the order of its files."""
  examples = builder.as_dataset(split=split)
  examples = examples.batch(builder.info.splits[split].num_examples)
  example = examples.get_single_element()
  return example["image"].numpy(), example["label"].numpy()


def test_splits_share_no_source_digit_and_hold_all():
  indices = digits.split_indices(sklearn_datasets.load_digits().target)
  assert {split: len(part) for split, part in indices.items()} == NUM_EXAMPLES
  together = np.concatenate(list(indices.values()))
  np.testing.assert_array_equal(np.sort(together), np.arange(1797))


def test_every_split_has_the_class_shares_of_the_whole():
  labels = sklearn_datasets.load_digits().target
  shares = np.bincount(labels) / len(labels)
  for part in digits.split_indices(labels).values():
    counts = np.bincount(labels[part], minlength=10)
    np.testing.assert_allclose(counts, shares * len(part), atol=1)


@pytest.mark.parametrize("split", NUM_EXAMPLES)
def test_prepared_split_holds_the_pixels_and_labels_of_scikit_learn(
    prepared, split
):
  source = sklearn_datasets.load_digits()
  indices = digits.split_indices(source.target)[split]
  expected = sorted(
      (*np.rint(source.data[i] * 255 / 16).astype(int), source.target[i])
      for i in indices
  )
  images, labels = read(prepared, split)
  received = sorted(
      (*image.ravel().astype(int), label)
      for image, label in zip(images, labels, strict=True)
  )
  assert received == expected
  assert images.dtype == np.uint8
  assert images.max() == 255


def test_keys_are_the_source_indices(prepared):
  indices = digits.split_indices(sklearn_datasets.load_digits().target)["test"]
  keys = [key for key, _ in prepared._generate_examples(indices)]
  assert keys == indices.tolist()


def test_preparing_twice_writes_the_same_examples_in_the_same_order(
    prepared, tmp_path
):
  again = digits.Digits(data_dir=tmp_path)
  again.download_and_prepare()
  for split in NUM_EXAMPLES:
    for first, second in zip(
        read(prepared, split), read(again, split), strict=True
    ):
      np.testing.assert_array_equal(first, second)


def test_builder_is_registered_and_documented(prepared):
  assert "digits" in tfds.list_builders(with_community_datasets=False)
  assert str(prepared.version) in digits.Digits.RELEASE_NOTES
  assert prepared.info.supervised_keys == ("image", "label")
  assert prepared.info.features["image"].shape == (8, 8, 1)
  assert prepared.info.features["label"].num_classes == 10
  assert "optical+recognition+of+handwritten+digits" in prepared.info.homepage
  assert "Alpaydin" in prepared.info.citation
  assert prepared.info.download_size == 0


def test_files_are_readable_without_the_code(prepared):
  builder = tfds.builder_from_directory(prepared.data_dir)
  np.testing.assert_array_equal(
      read(builder, "test")[0], read(prepared, "test")[0]
  )
