"""Tests of `image_data.preparation`; of the resizing, `pipeline_test`."""

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import preparation
from image_data import rand_augment

_IMAGE = np.random.default_rng(0).integers(0, 256, (12, 10, 3)).astype(np.uint8)


def _prepare(position=3, *, seed=1, size=8, name="shift", magnitude=0.0):
  prepare = preparation.for_training(
      (12, 10, 3),
      seed=seed,
      image_size=size,
      augmentation=name,
      rand_augment=magnitude,
  )
  return prepare(tf.constant(_IMAGE), tf.constant(position, tf.int64)).numpy()


def test_rand_augment_comes_last_and_has_seeds_of_its_own(monkeypatch):
  received = []

  def spy(image, seed, *, magnitude):
    received.append((image.numpy(), seed.numpy().tolist(), magnitude))
    return image + 1

  plain = _prepare()
  monkeypatch.setattr(rand_augment, "rand_augment", spy)
  np.testing.assert_array_equal(_prepare(magnitude=0.4), plain + 1)
  _prepare(position=4, magnitude=0.4)
  _prepare(seed=2, magnitude=0.4)
  (image, first, magnitude), *others = received
  np.testing.assert_array_equal(image, plain)
  assert magnitude == 0.4
  assert len({tuple(first), *(tuple(seed) for _, seed, _ in others)}) == 3
  shared = tf.random.fold_in(
      tf.constant([1, preparation._AUGMENTATION_STREAM], tf.int64),
      tf.constant(3, tf.int64),
  )
  assert first != shared.numpy().tolist()


def test_grey_images_are_not_rand_augmented():
  with pytest.raises(ValueError, match="3 channels. Received: 1, with rand"):
    preparation.for_training(
        (8, 8, 1),
        seed=0,
        image_size=8,
        augmentation="none",
        rand_augment=0.3,
    )


def test_images_without_rand_augment_are_left_alone(monkeypatch):
  monkeypatch.setattr(rand_augment, "rand_augment", None)
  assert _prepare(name="none").shape == (8, 8, 3)


def test_evaluation_resizes_or_cuts_out_the_middle():
  resized = preparation.for_evaluation(_IMAGE, image_size=8, equal_shapes=True)
  expected = tf.image.resize(
      tf.cast(_IMAGE, tf.float32), (8, 8), antialias=True
  )
  np.testing.assert_array_equal(resized, expected)
  middle = preparation.for_evaluation(_IMAGE, image_size=8, equal_shapes=False)
  np.testing.assert_array_equal(middle, image_data.center_crop(_IMAGE, 8))


def test_size_is_kept_where_none_is_given():
  kept = preparation.for_evaluation(_IMAGE, image_size=None, equal_shapes=True)
  assert kept.dtype == tf.float32
  np.testing.assert_array_equal(kept, _IMAGE)


def test_images_that_are_not_square_are_not_cropped_without_a_size():
  with pytest.raises(ValueError, match="12 x 10 pixels.*Pass image_size"):
    _prepare(size=None, name="crop_flip")
