"""Tests of `image_data.opening`."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

from absl import logging
import pytest
import tensorflow_datasets as tfds

import image_data
from image_data import digits
from tests.helpers import stored_labels

ROOT = pathlib.Path(__file__).parents[2]

KILLED_WHILE_PREPARING = """
import itertools, os, signal, sys
import image_data

def generate(self, indices, original=image_data.Digits._generate_examples):
  yield from itertools.islice(original(self, indices), 50)
  os.kill(os.getpid(), signal.SIGKILL)

image_data.Digits._generate_examples = generate
image_data.open_dataset("digits", data_dir=sys.argv[1])
"""


def num_read(dataset):
  """How many training examples there really are."""
  return sum(1 for _ in dataset.examples("train"))


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


def test_first_use_says_nothing_of_downloads(tmp_path, capsys, caplog):
  verbosity = logging.get_verbosity()
  assert image_data.open_dataset("digits", data_dir=tmp_path)
  with pytest.raises(FileNotFoundError):
    image_data.open_dataset("mnist", data_dir=tmp_path)
  assert capsys.readouterr() == ("", "")
  assert not [r for r in caplog.records if r.levelname == "WARNING"]
  assert logging.get_verbosity() == verbosity


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


@pytest.mark.slow
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
  assert num_read(dataset) == 1197


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
  assert num_read(dataset) == 1197
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


def test_files_that_tensorflow_cannot_read_are_refused(tmp_path):
  stored_labels.store(tmp_path, {"train": range(3)}, file_format="array_record")
  with pytest.raises(ValueError, match="'array_record'.*'tfrecord'"):
    image_data.open_dataset("stored", data_dir=tmp_path)


@pytest.mark.parametrize("folder", ["tfds [1]", "a*", "a?", "back\\slash"])
@pytest.mark.parametrize(
    "read", [image_data.open_dataset, image_data.dataset_features]
)
def test_folder_that_tensorflow_takes_for_a_pattern_is_refused(
    tmp_path, folder, read
):
  """It would be prepared there, and then not be found."""
  with pytest.raises(ValueError, match="for a pattern.*Rename the folder"):
    read("digits", data_dir=tmp_path / folder)
  assert not list(tmp_path.iterdir())


def test_folder_of_another_file_system_goes_to_tfds_as_it_is(monkeypatch):
  given = []

  def builder(name, *, data_dir, **options):
    given.append(data_dir)
    raise tfds.core.DatasetNotFoundError

  monkeypatch.setattr(tfds, "builder", builder)
  with pytest.raises(ValueError, match="stored in 'gs://bucket/tfds'"):
    image_data.open_dataset("digits", data_dir="gs://bucket/tfds")
  assert given == ["gs://bucket/tfds"]
