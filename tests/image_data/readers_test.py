"""Tests of `image_data.readers`."""

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import datasets
from image_data import readers
from tests.helpers import numbered_images


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stored")
  numbered_images.store(folder, name="numbered", shapes=[(6, 8, 3)] * 50)
  for i in range(12):
    path = folder / "images" / "train" / "ab"[i % 2] / f"{i:02}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((4, 5, 3), i, np.uint8)
    path.write_bytes(tf.io.encode_png(pixels).numpy())
  return folder


@pytest.fixture(name="dataset")
def _dataset(folder):
  return image_data.open_dataset("numbered", data_dir=folder)


@pytest.fixture(name="streamed")
def _streamed(dataset, monkeypatch):
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 0)
  return dataset


@pytest.fixture(name="files")
def _files(folder):
  return image_data.ImageFolder(folder / "images")


def _backwards(count, stream):
  del stream
  return tf.range(count - 1, -1, -1)


def _read_all(reader, items):
  return [(x.numpy(), int(y)) for x, y in items.map(reader.read)]


def _assert_equal(received, expected):
  assert [label for _, label in received] == [label for _, label in expected]
  for (image, _), (same, _) in zip(received, expected, strict=True):
    np.testing.assert_array_equal(image, same)


@pytest.mark.parametrize(
    "split", ["train", pytest.param("test", marks=pytest.mark.slow)]
)
def test_arrays_and_records_are_in_the_order_of_the_data_set(
    dataset, split, monkeypatch
):
  expected = [(x.numpy(), int(y)) for x, y in dataset.examples(split)]
  arrays = readers.open_reader(dataset, split)
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 0)
  records = readers.open_reader(dataset, split)
  assert isinstance(arrays, readers.Arrays)
  assert isinstance(records, readers.Records)
  for reader in (arrays, records):
    _assert_equal(_read_all(reader, reader.in_order()), expected)


def test_arrays_are_permuted(dataset):
  reader = readers.open_reader(dataset, "test")
  _assert_equal(
      _read_all(reader, reader.shuffled(_backwards)),
      _read_all(reader, reader.in_order())[::-1],
  )


def test_records_are_permuted_by_file_and_within_windows(streamed, monkeypatch):
  monkeypatch.setattr(readers, "_SHUFFLE_WINDOW", 5)
  reader = readers.open_reader(streamed, "train")
  labels = [label for _, label in _read_all(reader, reader.in_order())]
  sizes = [f.take for f in streamed.file_instructions("train")]
  files = np.split(labels, np.cumsum(sizes)[:-1])  # None is over 16.
  backwards = np.concatenate(files[::-1]).tolist()
  expected = [backwards[i : i + 5][::-1] for i in range(0, 45, 5)]
  received = _read_all(reader, reader.shuffled(_backwards))
  assert [label for _, label in received] == sum(expected, [])


def test_files_are_read_and_permuted(files):
  reader = readers.open_reader(files, "train")
  paths, labels = files.files("train")
  read = _read_all(reader, reader.in_order())
  assert [label for _, label in read] == labels
  for (image, _), path in zip(read, paths, strict=True):
    assert image.shape == (4, 5, 3) and int(image[0, 0, 0]) == int(path[-6:-4])
  _assert_equal(_read_all(reader, reader.shuffled(_backwards)), read[::-1])


def test_encoded_images_are_those_that_are_decoded_else(files, streamed):
  for dataset in (files, streamed):
    decoded = readers.open_reader(dataset, "train")
    encoded = readers.open_reader(dataset, "train", encoded=True)
    received = [
        (tf.io.decode_image(content).numpy(), label)
        for content, label in _read_all(encoded, encoded.in_order())
    ]
    _assert_equal(received, _read_all(decoded, decoded.in_order()))


def test_file_is_named_by_its_path(files):
  reader = readers.open_reader(files, "train")
  names = [name.numpy().decode() for name in reader.in_order().map(reader.name)]
  assert names == files.files("train")[0]


def test_record_is_named_by_its_file_and_place(streamed):
  reader = readers.open_reader(streamed, "validation")
  items = reader.in_order()
  names = [name.numpy().decode() for name in items.map(reader.name)]
  labels = [label for _, label in _read_all(reader, items)]
  for name, label in zip(names, labels, strict=True):
    path, place = name.split(", record ")
    records = list(tf.data.TFRecordDataset(path))
    _, expected = streamed.decode(records[int(place)])
    assert int(expected) == label
  # The split is the end of its files: places are not those within the split.
  assert "record 0" not in [name.split(", ")[1] for name in names]
