"""Tests of image_data/datasets.py."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds

import image_data
from image_data import datasets
from image_data import digits
from tests.helpers import damaged_images

ROOT = pathlib.Path(__file__).parents[2]

IMAGE_AND_LABEL = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(4, 4, 1)),
        "label": tfds.features.ClassLabel(num_classes=200),
    }
)

KILLED_WHILE_PREPARING = """
import itertools, os, signal, sys
import image_data

def generate(self, indices, original=image_data.Digits._generate_examples):
  yield from itertools.islice(original(self, indices), 50)
  os.kill(os.getpid(), signal.SIGKILL)

image_data.Digits._generate_examples = generate
image_data.open_dataset("digits", data_dir=sys.argv[1])
"""


def store(data_dir, labels_by_split, *, file_format=None):
  """Writes a TFDS data set, as another program would."""
  tfds.dataset_builders.store_as_tfds_dataset(
      name="stored",
      version="1.2.3",
      features=IMAGE_AND_LABEL,
      split_datasets={
          split: [
              (
                  key,
                  {"image": np.full((4, 4, 1), key, np.uint8), "label": label},
              )
              for key, label in enumerate(labels)
          ]
          for split, labels in labels_by_split.items()
      },
      data_dir=data_dir,
      file_format=file_format,
  )


def labels_of(dataset, split):
  return sorted(int(label) for _, label in dataset.examples(split))


@pytest.fixture(name="no_network")
def fixture_no_network(monkeypatch):
  def refuse(*args, **kwargs):
    del args, kwargs
    pytest.fail("Tried to use the network.")

  monkeypatch.setattr(socket, "getaddrinfo", refuse)
  monkeypatch.setattr(socket.socket, "connect", refuse)
  # TensorFlow's own file system reads this list in the cloud, not a socket of
  # Python's.
  monkeypatch.setattr(tfds.core.community, "community_register", refuse)


def test_own_dataset_is_prepared_on_first_use(tmp_path, no_network):
  dataset = image_data.open_dataset("digits", data_dir=tmp_path)
  assert (tmp_path / "digits" / "1.0.0" / "dataset_info.json").exists()
  assert (dataset.name, dataset.version) == ("digits", "1.0.0")
  assert dataset.num_classes == 10
  assert dataset.class_names == list("0123456789")
  assert dataset.image_shape == (8, 8, 1)
  assert dataset.num_examples("train") == 1197
  assert dataset.num_examples("validation") == 300
  assert dataset.num_examples("test") == 300


def test_prepared_dataset_is_not_written_again(tmp_path):
  image_data.open_dataset("digits", data_dir=tmp_path)
  info = tmp_path / "digits" / "1.0.0" / "dataset_info.json"
  before = info.stat().st_mtime_ns
  image_data.open_dataset("digits", data_dir=tmp_path)
  assert info.stat().st_mtime_ns == before


def test_process_killed_while_preparing_leaves_nothing_half_written(tmp_path):
  killed = subprocess.run(
      [sys.executable, "-c", KILLED_WHILE_PREPARING, os.fspath(tmp_path)],
      cwd=ROOT,
      check=False,
      capture_output=True,
  )
  assert killed.returncode == -signal.SIGKILL, killed.stderr
  # What TFDS had begun is there, under another name.
  assert [path.name.split(".")[0] for path in (tmp_path / "digits").iterdir()]
  assert not (tmp_path / "digits" / "1.0.0").exists()
  dataset = image_data.open_dataset("digits", data_dir=tmp_path)
  assert len(labels_of(dataset, "train")) == 1197


def test_slower_of_two_processes_uses_the_data_of_the_faster(
    tmp_path, monkeypatch
):
  original = digits.Digits._generate_examples
  overtaken = []

  def generate(self, indices):
    if not overtaken:
      overtaken.append(True)
      digits.Digits(data_dir=tmp_path).download_and_prepare()
    return original(self, indices)

  monkeypatch.setattr(digits.Digits, "_generate_examples", generate)
  dataset = image_data.open_dataset("digits", data_dir=tmp_path)
  assert overtaken
  assert len(labels_of(dataset, "train")) == 1197
  assert os.listdir(tmp_path / "digits") == ["1.0.0"]


def test_error_while_preparing_is_not_hidden(tmp_path, monkeypatch):
  def fail(self, indices):
    del self, indices
    raise OSError("disk full")

  monkeypatch.setattr(digits.Digits, "_generate_examples", fail)
  with pytest.raises(OSError, match="disk full"):
    image_data.open_dataset("digits", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["cifar10", "mnist", "imagenet2012"])
def test_dataset_not_prepared_names_folder_and_command(
    tmp_path, no_network, name
):
  start = time.monotonic()
  with pytest.raises(FileNotFoundError) as error:
    image_data.open_dataset(name, data_dir=tmp_path)
  message = str(error.value)
  assert f"`tfds build {name} --data_dir={tmp_path}`" in message
  assert f"{tmp_path}/{name}/" in message
  # Offline, a look into the cloud retries for longer than that.
  assert time.monotonic() - start < 10
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, suggestion",
    [
        ("cifar_10", "cifar10"),
        ("cluttered_digit", "cluttered_digits"),
        ("imagenet", "imagenet_r"),
        ("huggingface:mnist", None),
        ("no such thing", None),
        ("", None),
    ],
)
def test_unknown_name_is_refused_with_the_nearest(
    tmp_path, no_network, name, suggestion
):
  with pytest.raises(ValueError, match="Unknown data set") as error:
    image_data.open_dataset(name, data_dir=tmp_path)
  assert repr(name) in str(error.value)
  if suggestion:
    assert suggestion in str(error.value).split("Did you mean")[1]
  else:
    assert "Did you mean" not in str(error.value)


def test_version_that_is_not_there_is_refused(tmp_path, no_network):
  with pytest.raises(ValueError, match=r"9\.9\.9, only: 3\.0\.1"):
    image_data.open_dataset("mnist:9.9.9", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["imdb_reviews", "coco", "glue", "voc"])
def test_dataset_without_classified_images_is_refused(
    tmp_path, no_network, name
):
  with pytest.raises(ValueError, match="not a data set of classified images"):
    image_data.open_dataset(name, data_dir=tmp_path)


def test_stored_dataset_is_read_without_its_code(tmp_path):
  splits = {"train": range(20), "validation": range(5), "test": range(7)}
  store(tmp_path, splits)
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
        (
            {"train": 100, "validation": 20},
            {"train": 98, "validation": 2, "test": 20},
        ),
        ({"train": 100}, {"train": 80, "validation": 10, "test": 10}),
    ],
)
def test_missing_split_is_carved_from_the_end_of_train(
    tmp_path, stored, expected
):
  # The labels of TFDS's train are 0 to 99, those of its other split from 100.
  store(
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
  store(
      tmp_path,
      {"train": range(100), "validation": range(100, 120), "test": [-1] * 9},
  )
  dataset = image_data.open_dataset("stored", data_dir=tmp_path)
  assert labels_of(dataset, "test") == list(range(100, 120))
  assert dataset.num_examples("train") == 98


def test_dataset_without_train_split_is_refused(tmp_path):
  store(tmp_path, {"test": range(3)})
  with pytest.raises(ValueError, match="no 'train' split.*'test'"):
    image_data.open_dataset("stored", data_dir=tmp_path)


def test_files_that_tensorflow_cannot_read_are_refused(tmp_path):
  store(tmp_path, {"train": range(3)}, file_format="array_record")
  with pytest.raises(ValueError, match="'array_record'.*'tfrecord'"):
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
  store(tmp_path, {"train": range(40), "test": [3, 1, 199, 7]})
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
