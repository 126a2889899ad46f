"""Tests of `image_data.image_folder`."""

import os
import shutil

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

import image_data

CLASSES = ("ant", "bee", "cat")


def _store(folder, counts, *, first=None):
  """Writes grey images that are numbered by their brightness."""
  number = first
  if first is None:  # No split shares images with `train`.
    number = {"val": 80, "validation": 80, "test": 160}.get(folder.name, 0)
  for name, count in counts.items():
    (folder / name).mkdir(parents=True)
    for i in range(count):
      pixels = np.full((8 + i % 3, 10, 3), number, np.uint8)
      path = folder / name / f"{i:03}.png"
      path.write_bytes(tf.io.encode_png(pixels).numpy())
      number += 1
  return number


@pytest.fixture(name="path", scope="module")
def _path(tmp_path_factory):
  path = tmp_path_factory.mktemp("images")
  number = _store(path / "train", dict.fromkeys(CLASSES, 20))
  number = _store(path / "val", {"ant": 3, "cat": 2}, first=number)
  _store(path / "test", {"bee": 4}, first=number)
  (path / "train" / "ant" / "notes.txt").write_text("not an image")
  return path


def _brightness(path):
  # Of a WebP file, all frames, unless it is told not to.
  image = tf.io.decode_image(tf.io.read_file(path), expand_animations=False)
  return image[0, 0, 0]


def _read(dataset, split):
  """(number, label) of each image."""
  return [
      (int(_brightness(path)), label)
      for path, label in zip(*dataset.files(split), strict=True)
  ]


def test_splits_are_the_folders_and_classes_their_names(path):
  dataset = image_data.ImageFolder(path)
  assert dataset.class_names == list(CLASSES) and dataset.num_classes == 3
  assert dataset.name == path.name
  train = [(20 * label + i, label) for label in range(3) for i in range(20)]
  assert sorted(_read(dataset, "train")) == train
  assert sorted(_read(dataset, "validation")) == [
      *((60 + i, 0) for i in range(3)),
      (63, 2),
      (64, 2),
  ]
  assert sorted(_read(dataset, "test")) == [(65 + i, 1) for i in range(4)]
  counts = [dataset.num_examples(s) for s in ("train", "validation", "test")]
  assert counts == [60, 5, 4]


def test_the_first_images_are_of_all_classes(path):
  train = _read(image_data.ImageFolder(path), "train")
  counts = np.bincount([label for _, label in train[:30]], minlength=3)
  # Of 20 each; three standard deviations of drawing without replacement.
  assert np.all(np.abs(counts - 10) < 3 * np.sqrt(30 * 2 / 9 * 30 / 59))
  assert _read(image_data.ImageFolder(path), "train") == train


def _warnings(path, caplog):
  caplog.clear()
  with caplog.at_level("WARNING"):
    dataset = image_data.ImageFolder(path)
  return dataset, [record.getMessage() for record in caplog.records]


def test_what_is_left_out_is_counted_by_kind(tmp_path, caplog):
  _store(tmp_path / "train", {"ant": 10, "bee": 10})
  folder = tmp_path / "train" / "ant"
  content = (folder / "000.png").read_bytes()
  for name in ("._000.jpg", ".hidden.jpg", "notes.txt"):
    (folder / name).write_bytes(content)
  (folder / "nested").mkdir()
  _store(tmp_path / "test", {"ant": 2, "bee": 2})
  _store(tmp_path / "val", {"ant": 2, "bee": 2})
  dataset, (message,) = _warnings(tmp_path, caplog)
  assert dataset.num_examples("train") == 20
  for words in (
      f"1 files of other endings (such as {folder / 'notes.txt'})",
      f"1 folders in classes (such as {folder / 'nested'})",
      "2 hidden files",
  ):
    assert words in message


def test_images_that_two_splits_share_are_warned_of(tmp_path, caplog):
  _store(tmp_path / "train", {"ant": 2, "bee": 150})
  for split in ("val", "test"):
    _store(tmp_path / split, {"ant": 2, "bee": 3})
    for path in sorted((tmp_path / split).glob("*/*")):
      path.write_bytes(path.read_bytes() + b"other")
  _, messages = _warnings(tmp_path, caplog)
  assert not messages
  caplog.clear()
  shutil.rmtree(tmp_path / "val")
  (tmp_path / "val").symlink_to(tmp_path / "train")
  _, (message,) = _warnings(tmp_path, caplog)
  assert "val and train share images: of 152 files" in message
  assert "76 were compared and 76 are the same (such as" in message


def test_hidden_folders_are_no_classes(tmp_path, caplog):
  hidden = (".ipynb_checkpoints", ".git", "__MACOSX", "@eaDir")
  for split in ("train", "val", "test"):
    _store(tmp_path / split, {"ant": 2, "bee": 2, hidden[0]: 1})
  for name in hidden[1:]:
    (tmp_path / "train" / name).mkdir()
  dataset, messages = _warnings(tmp_path, caplog)
  assert dataset.class_names == ["ant", "bee"]
  assert dataset.num_examples("train") == 4
  assert "omitted 4 hidden folders (such as" in messages[0]
  assert all("omitted 1 hidden folders" in each for each in messages[1:])
  assert len(messages) == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (b"bee\nfly", r"bee\\nfly' holds a line break.*Rename it"),
        ("bee\u2028fly".encode(), "holds a line break"),
        (b"\xe9tui", r"\\xe9tui' is not UTF-8"),
    ],
)
def test_names_that_are_not_one_line_of_utf8_are_refused(
    tmp_path, name, message
):
  for folder in (b"ant", name):
    os.makedirs(os.path.join(os.fsencode(tmp_path), b"train", folder))
  with pytest.raises(ValueError, match=message):
    image_data.ImageFolder(tmp_path)


def test_webp_is_read(tmp_path, caplog):
  _store(tmp_path / "train", {"ant": 40, "bee": 40})
  for path in sorted(tmp_path.glob("train/*/*.png")):
    Image.open(path).save(path.with_suffix(".webp"), lossless=True)
    path.unlink()
  dataset, messages = _warnings(tmp_path, caplog)
  assert not messages
  everything = [
      each
      for split in ("train", "validation", "test")
      for each in _read(dataset, split)
  ]
  assert sorted(everything) == [(i, i // 40) for i in range(80)]


def test_classes_that_teach_or_test_nothing_are_named(tmp_path, caplog):
  _store(tmp_path / "train", {"ant": 30})
  _, (message,) = _warnings(tmp_path, caplog)
  assert "has one class alone, ant" in message
  _store(tmp_path / "train", {"bee": 30})
  _store(tmp_path / "val", {"bee": 4})
  _, (message,) = _warnings(tmp_path, caplog)
  assert "val has no images of the classes ant" in message


def test_classes_without_splits_are_warned_of_alike(tmp_path, caplog):
  _store(tmp_path, {"ant": 60})
  _, (message,) = _warnings(tmp_path, caplog)
  assert "has one class alone, ant" in message
  _store(tmp_path, {"bee": 1})  # Whose hash is not one of validation.
  _, (message,) = _warnings(tmp_path, caplog)
  assert "split validation has no images of the classes bee" in message


def test_missing_splits_are_carved_out_of_train(tmp_path):
  _store(tmp_path / "train", dict.fromkeys(CLASSES, 20))
  dataset = image_data.ImageFolder(tmp_path)
  splits = {s: _read(dataset, s) for s in ("train", "validation", "test")}
  assert [len(x) for x in splits.values()] == [48, 6, 6]
  everything = sorted(sum(splits.values(), []))
  assert everything == [(20 * c + i, c) for c in range(3) for i in range(20)]
  # Of more than one class, and the same each time.
  assert len({label for _, label in splits["validation"]}) > 1
  again = image_data.ImageFolder(tmp_path)
  assert {s: _read(again, s) for s in splits} == splits


def test_validation_is_the_test_where_there_is_no_other(tmp_path):
  _store(tmp_path / "train", {"ant": 20})
  _store(tmp_path / "valid", {"ant": 3}, first=50)
  dataset = image_data.ImageFolder(tmp_path)
  assert sorted(_read(dataset, "test")) == [(50, 0), (51, 0), (52, 0)]
  assert dataset.num_examples("validation") == 2
  assert dataset.num_examples("train") == 18


@pytest.mark.slow
def test_training_sees_every_image_once_an_epoch_and_resumes(path):
  dataset = image_data.open_dataset(f"image_folder:{path}", data_dir="unused")
  arguments = {
      "batch_size": 12,
      "seed": 3,
      "preparation": image_data.TrainingPreparation(
          image_size=6, augmentation="crop_flip"
      ),
  }
  batches = image_data.train_batches(dataset, **arguments)
  images, labels = zip(*batches.take(10), strict=True)
  numbers = np.rint(np.concatenate(images)[:, 0, 0, 0]).astype(int)
  first, second = numbers[:60].tolist(), numbers[60:].tolist()
  assert sorted(first) == sorted(second) == list(range(60))
  assert first != second and first != list(range(60))
  np.testing.assert_array_equal(np.concatenate(labels), numbers // 20)
  rest = image_data.train_batches(dataset, **arguments, first_step=7)
  for (image, _), expected in zip(rest.take(3), images[7:], strict=True):
    np.testing.assert_array_equal(image, expected)


def test_features_are_known_without_reading(path):
  found = image_data.dataset_features(f"image_folder:{path}", data_dir="unused")
  assert found == (3, (None, None, 3))


@pytest.mark.parametrize(
    ("folders", "error", "message"),
    [
        ({}, FileNotFoundError, "has no folder 'train'.*found no folder"),
        ({"val/ant": 1}, FileNotFoundError, "found validation"),
        (
            {"train/ant": 12, "train/bee": 0},
            ValueError,
            "classes bee is without",
        ),
        ({"train": 0}, ValueError, "it is without images"),
        ({"train/ant": 12, "test/dog": 2}, ValueError, "train has not: dog"),
        (
            {"train/ant": 12, "val/ant": 2, "validation/ant": 2},
            ValueError,
            "/val and .*/validation are both the validation images",
        ),
        ({"train/ant": 4}, ValueError, "too few images, 4, to take validation"),
        ({"ant": 40, "bee": 0}, ValueError, "classes bee is without"),
        ({"ant": 40, "bee": 0, "val/ant": 3}, FileNotFoundError, "or CLASS/"),
    ],
)
def test_folders_that_do_not_fit_are_refused(tmp_path, folders, error, message):
  for name, count in folders.items():
    folder = tmp_path / name
    folder.mkdir(parents=True)
    for i in range(count):
      (folder / f"{i}.jpg").touch()
  with pytest.raises(error, match=message):
    image_data.ImageFolder(tmp_path)


def test_folder_that_is_not_there_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="There is no folder .*nothing"):
    image_data.open_dataset(
        f"image_folder:{tmp_path / 'nothing'}", data_dir="unused"
    )


def test_unknown_split_is_refused(path):
  with pytest.raises(ValueError, match="Unknown split 'val'"):
    image_data.ImageFolder(path).num_examples("val")


def test_folder_of_another_file_system_is_refused():
  with pytest.raises(ValueError, match="of this machine. Received: gs://b/a"):
    image_data.open_dataset("image_folder:gs://b/a", data_dir="unused")
