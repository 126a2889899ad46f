"""Tests of `image_data.datasets`."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

import image_data
from image_data import datasets
from tests.helpers import damaged_images
from tests.helpers import stored_labels


def labels_of(dataset, split):
  return sorted(int(label) for _, label in dataset.examples(split))


def test_stored_dataset_is_read_without_its_code(tmp_path):
  splits = {"train": range(20), "validation": range(5), "test": range(7)}
  stored_labels.store(tmp_path, splits)
  dataset = image_data.open_dataset("stored", data_dir=tmp_path)
  assert (dataset.name, dataset.version) == ("stored", "1.2.3")
  assert dataset.image_shape == (4, 4, 1)
  for split, labels in splits.items():
    assert labels_of(dataset, split) == list(labels)
    assert dataset.num_examples(split) == len(labels)


@pytest.mark.parametrize(
    "stored, expected",
    [
        (
            {"train": 100, "test": 20},
            {"train": 90, "validation": 10, "test": 20},
        ),
        pytest.param(
            {"train": 100, "validation": 20},
            {"train": 98, "validation": 2, "test": 20},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"train": 100},
            {"train": 80, "validation": 10, "test": 10},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_missing_split_is_carved_from_the_end_of_train(
    tmp_path, stored, expected
):
  # The labels of TFDS's train are 0 to 99, those of its other split from 100.
  stored_labels.store(
      tmp_path,
      {
          split: range(100) if split == "train" else range(100, 100 + count)
          for split, count in stored.items()
      },
  )
  dataset = image_data.open_dataset("stored", data_dir=tmp_path)
  received = {split: labels_of(dataset, split) for split in expected}
  assert {split: len(labels) for split, labels in received.items()} == expected
  assert {s: dataset.num_examples(s) for s in expected} == expected
  together = sorted(sum(received.values(), []))
  assert together == list(range(sum(stored.values())))
  if len(stored) == 2:
    assert received["test"] == list(range(100, 120))
  builder = tfds.builder_from_directory(tmp_path / "stored" / "1.2.3")
  train = builder.as_dataset(split="train", shuffle_files=False)
  in_order = [int(example["label"]) for example in train]
  assert received["train"] == sorted(in_order[: expected["train"]])


def test_test_split_without_labels_counts_as_missing(tmp_path):
  stored_labels.store(
      tmp_path,
      {"train": range(100), "validation": range(100, 120), "test": [-1] * 9},
  )
  dataset = image_data.open_dataset("stored", data_dir=tmp_path)
  assert labels_of(dataset, "test") == list(range(100, 120))
  assert dataset.num_examples("train") == 98


def test_dataset_without_train_split_is_refused(tmp_path):
  stored_labels.store(tmp_path, {"test": range(3)})
  with pytest.raises(ValueError, match="no 'train' split.*'test'"):
    image_data.open_dataset("stored", data_dir=tmp_path)


def test_unknown_split_is_refused(data_dir):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  for read in (dataset.num_examples, dataset.arrays, dataset.examples):
    with pytest.raises(ValueError, match="'valid'.*train, validation, test"):
      read("valid")


def test_arrays_are_the_examples_in_the_same_order(data_dir):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  images, labels = zip(*dataset.examples("test"), strict=True)
  np.testing.assert_array_equal(dataset.arrays("test")[0], np.stack(images))
  np.testing.assert_array_equal(dataset.arrays("test")[1], np.stack(labels))
  assert dataset.arrays("test")[0] is dataset.arrays("test")[0]


def test_large_split_does_not_fit_in_memory(data_dir, monkeypatch):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 1197 * 64)
  assert dataset.fits_in_memory("train")
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 1197 * 64 - 1)
  assert not dataset.fits_in_memory("train")
  assert dataset.fits_in_memory("test")


def test_label_out_of_range_is_named_when_data_are_loaded(tmp_path):
  stored_labels.store(tmp_path, {"train": range(40), "test": [3, 1, 199, 7]})
  dataset = image_data.open_dataset("stored", data_dir=tmp_path)
  dataset.num_classes = 150
  labels = [int(label) for _, label in dataset.examples("test")]
  place = labels.index(199)
  message = f"example {place} has the label 199. Expected 0 to 149"
  with pytest.raises(ValueError, match=message):
    dataset.arrays("test")
  assert len(dataset.arrays("validation")[1]) == 4


def test_example_that_cannot_be_decoded_is_named_when_data_are_loaded(tmp_path):
  damaged_images.store_records(tmp_path)
  dataset = image_data.open_dataset("damaged", data_dir=tmp_path)
  with pytest.raises(ValueError, match="of train of damaged cannot be read"):
    dataset.arrays("train")
