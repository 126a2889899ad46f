"""Tests of `image_data.idx_files`, on tiny files."""

import gzip
import pathlib
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds

import image_data
from image_data import idx_files

NAMES = ("mnist", "fashion_mnist", "kmnist", "emnist/balanced")
_SIZES = {"train": 40, "test": 7}


def _idx(array):
  """What an IDX file of bytes holds."""
  header = bytes([0, 0, 8, array.ndim])
  return header + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _prefix(name, split):
  if name.startswith("emnist/"):
    return f"emnist-{name.removeprefix('emnist/')}-{split}"
  return {"train": "train", "test": "t10k"}[split]


def _write(folder, name, *, compressed=False):
  """Writes the four files; returns their arrays."""
  rng = np.random.default_rng(0)
  arrays = {}
  for split, size in _SIZES.items():
    images = rng.integers(0, 256, (size, 28, 28), np.uint8)
    labels = rng.integers(0, 10, size, np.uint8)
    arrays[split] = images, labels
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
      path = folder / f"{_prefix(name, split)}-{kind}-ubyte"
      if compressed:
        path.with_name(f"{path.name}.gz").write_bytes(
            gzip.compress(_idx(array))
        )
      else:
        path.write_bytes(_idx(array))
  return arrays


def _open(tmp_path, name="mnist"):
  return image_data.open_dataset(
      name, data_dir=tmp_path / "data", idx_folder=tmp_path
  )


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_those_that_tfds_itself_reads(tmp_path, name):
  _write(tmp_path, name)
  builder = tfds.builder(name, data_dir=tmp_path / "unused")
  arrays = idx_files.read_all(builder, tmp_path)
  ours = idx_files.builder_of(arrays, builder, data_dir=str(tmp_path))
  assert (ours.name, ours.info.full_name) == (
      builder.name,
      builder.info.full_name,
  )
  for split, examples in ours._split_generators(None).items():
    paths = [
        tmp_path / f"{_prefix(name, split)}-{kind}-ubyte"
        for kind in ("images-idx3", "labels-idx1")
    ]
    theirs = builder._generate_examples(_SIZES[split], *paths)
    pairs = [*zip(examples, theirs, strict=True)]
    assert len(pairs) == _SIZES[split]
    for (key, example), (their_key, their_example) in pairs:
      assert key == their_key and example["label"] == their_example["label"]
      np.testing.assert_array_equal(example["image"], their_example["image"])


@pytest.mark.parametrize(
    "compressed", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_dataset_is_prepared_from_its_files_and_found_again(
    tmp_path, compressed
):
  written = _write(tmp_path, "mnist", compressed=compressed)
  dataset = _open(tmp_path)
  sizes = {split: dataset.num_examples(split) for split in image_data.SPLITS}
  assert sizes == {"train": 36, "validation": 4, "test": 7}
  # TFDS shuffles what it writes.
  for splits, (images, labels) in (
      (("train", "validation"), written["train"]),
      (("test",), written["test"]),
  ):
    found = [dataset.arrays(split) for split in splits]
    rows = [
        (image.tobytes(), label)
        for of_split in found
        for image, label in zip(*map(np.asarray, of_split), strict=True)
    ]
    expected = [(i.tobytes(), int(n)) for i, n in zip(images, labels)]  # noqa: B905
    assert sorted(rows) == sorted(expected)
  for path in tmp_path.glob("*-ubyte*"):
    path.unlink()
  again = image_data.open_dataset("mnist", data_dir=tmp_path / "data")
  np.testing.assert_array_equal(
      again.arrays("test")[0], dataset.arrays("test")[0]
  )


def test_files_of_a_package_are_found(tmp_path, monkeypatch):
  monkeypatch.setattr(idx_files, "_INSTALLED", tmp_path)
  assert idx_files.find("fashion_mnist", None) is None
  (tmp_path / "fashion-mnist").mkdir()
  _write(tmp_path / "fashion-mnist", "fashion_mnist", compressed=True)
  dataset = image_data.open_dataset("fashion_mnist", data_dir=tmp_path / "data")
  assert dataset.class_names[0] == "T-shirt/top"
  assert dataset.num_examples("test") == 7


def _damaged(change):
  def damage(path):
    path.write_bytes(change(path.read_bytes()))

  return damage


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("t10k-labels-idx1", pathlib.Path.unlink, "has no t10k-labels-idx1"),
        (
            "train-images-idx3",
            _damaged(lambda b: b"\0\0\x0d" + b[3:]),
            "begin with 00 00 08 03; it begins with 00 00 0d 03",
        ),
        (
            "train-images-idx3",
            _damaged(lambda b: b""),
            "it begins with nothing",
        ),
        (
            "train-labels-idx1",
            _damaged(lambda b: b[:6]),
            "ends within its header",
        ),
        (
            "t10k-images-idx3",
            _damaged(lambda b: b[:-1]),
            "t10k-images-idx3-ubyte is cut off.*7 x 28 x 28 bytes, 5488; 5487",
        ),
        ("t10k-images-idx3", _damaged(lambda b: b + b"0"), "is longer than"),
        (
            "train-labels-idx1",
            _damaged(lambda b: _idx(np.zeros(39, np.uint8))),
            "holds 40 images, and .*train-labels-idx1-ubyte 39 labels",
        ),
        (
            "train-labels-idx1",
            _damaged(lambda b: _idx(np.full(40, 10, np.uint8))),
            "holds the label 10. Expected those of mnist, 0 to 9",
        ),
        (
            "train-images-idx3",
            _damaged(lambda b: _idx(np.zeros((40, 32, 20), np.uint8))),
            "images of 32 x 20 pixels. Expected those of mnist, 28 x 28",
        ),
        (
            "train-images-idx3",
            lambda path: path.rename(path.with_name(path.name + ".gz")),
            "train-images-idx3-ubyte.gz is no whole gzip file",
        ),
    ],
)
def test_what_is_damaged_is_named_and_nothing_written(
    tmp_path, name, damage, message
):
  _write(tmp_path, "mnist")
  damage(tmp_path / f"{name}-ubyte")
  with pytest.raises((ValueError, FileNotFoundError), match=message):
    _open(tmp_path)
  assert not (tmp_path / "data" / "mnist").exists()


def test_cut_off_gzip_is_named(tmp_path):
  path = tmp_path / "images.gz"
  path.write_bytes(gzip.compress(_idx(np.zeros((2, 3, 4), np.uint8)))[:-9])
  with pytest.raises(ValueError, match="images.gz is no whole gzip file"):
    idx_files.read(path, 3)


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_folder_is_refused_for_other_data_sets(tmp_path, name):
  with pytest.raises(ValueError, match=f"for mnist, .*Received for {name}"):
    _open(tmp_path, name)


def test_ways_to_get_the_data_are_said(tmp_path, monkeypatch):
  monkeypatch.setattr(idx_files, "_INSTALLED", tmp_path)
  with pytest.raises(FileNotFoundError) as error:
    image_data.open_dataset("fashion_mnist", data_dir=tmp_path)
  for words in ("tfds build", "--idx_folder", "dataset-fashion-mnist"):
    assert words in str(error.value)
