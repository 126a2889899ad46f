"""Tests of `export.inputs.data`."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from export.inputs import data as data_lib
from export.inputs import source as source_lib
import image_data
import pgates

SIDE = 12  # To which digits of 8 x 8 pixels are resized.


@pytest.fixture(scope="module")
def source(data_dir):
  return source_lib.Source(
      pgates.CifarResNet(8, input_shape=(SIDE, SIDE, 1)),
      image_data.open_dataset("digits", data_dir=data_dir),
      SIDE,
  )


def _read(source, **kwargs):
  defaults = {
      "split": "test",
      "labels": None,
      "num_examples": 40,
      "num_calibration": 5,
  }
  return data_lib.read_data(source, **(defaults | kwargs))


def _first(dataset, split, num):
  """The first images of a split, resized as in evaluation, and labels."""
  images, labels = zip(*dataset.examples(split).take(num), strict=True)
  images = tf.image.resize(np.stack(images), [SIDE, SIDE], antialias=True)
  return images.numpy(), np.array(labels)


def test_examples_are_the_first_of_the_split(source):
  for split in ("test", "validation"):
    found = _read(source, split=split).examples
    images, labels = _first(source.dataset, split, 40)
    assert found.images.dtype == np.float32
    np.testing.assert_allclose(found.images, images, atol=1e-3)
    np.testing.assert_array_equal(found.labels, labels)


def test_split_smaller_than_was_asked_is_read_whole(source):
  found = _read(source, num_examples=10_000).examples
  assert len(found.images) == len(found.labels) == 300


def test_calibration_is_on_training_images_and_decisions_on_validation(source):
  data = _read(source)
  images, _ = _first(source.dataset, "train", 5)
  np.testing.assert_allclose(data.calibration, images, atol=1e-3)
  images, labels = zip(*data.validation, strict=True)
  expected, classes = _first(source.dataset, "validation", 300)
  np.testing.assert_allclose(np.concatenate(images), expected, atol=1e-3)
  np.testing.assert_array_equal(np.concatenate(labels), classes)


def test_images_of_another_size_are_refused(source):
  other = dataclasses.replace(source, image_size=9)
  with pytest.raises(ValueError, match=r"\(12, 12, 1\).*digits.*\(9, 9, 1\)"):
    _read(other)


def test_data_without_validation_images_are_refused(source, monkeypatch):
  monkeypatch.setattr(
      type(source.dataset), "num_examples", lambda self, split: 0
  )
  with pytest.raises(ValueError, match="digits has no validation images"):
    _read(source)
