"""Tests of `image_data.augmentations`."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from image_data import augmentations
from tests.helpers import shifts

NUM_IMAGES = 1500


def _image(shape=(16, 8, 1)):
  """No two shifts or mirror images of it are alike."""
  generator = np.random.default_rng(0)
  return generator.integers(1, 256, shape).astype(np.float32)


def _seeds(num):
  return tf.stack([tf.fill([num], 7), tf.range(num)], axis=1)


def _augmented(name, image, num=NUM_IMAGES):
  """Augments one image under many seeds, as a data set does: in a graph."""
  augment = augmentations.AUGMENTATIONS[name]

  @tf.function
  def augment_all(seeds):
    return tf.map_fn(
        lambda seed: augment(tf.constant(image), seed),
        tf.cast(seeds, tf.int64),
        fn_output_signature=tf.float32,
    )

  return augment_all(_seeds(num)).numpy()


def _assert_equally_often(outcomes, num_kinds):
  counts = np.array([*collections.Counter(outcomes).values()])
  assert len(counts) == num_kinds
  # Five standard errors of a count.
  expected = len(outcomes) / num_kinds
  error = np.sqrt(expected * (1 - 1 / num_kinds))
  assert np.abs(counts - expected).max() < 5 * error


def test_none_keeps_every_image():
  image = _image()
  assert (_augmented("none", image, num=3) == image).all()


def test_shift_only_shifts_and_every_shift_is_equally_likely():
  image = _image()
  found = [
      shifts.find_shift(shifted, image)
      for shifted in _augmented("shift", image)
  ]
  assert None not in found
  # Two rows up or down and one column to a side.
  _assert_equally_often(found, 5 * 3)


def test_shift_flip_mirrors_every_second_image_wherever_it_is_shifted():
  image = _image()
  outcomes = []
  for augmented in _augmented("shift_flip", image):
    straight = shifts.find_shift(augmented, image)
    mirrored = shifts.find_shift(augmented[:, ::-1], image)
    assert (straight is None) != (mirrored is None)
    outcomes.append((straight, mirrored))
  _assert_equally_often(outcomes, 2 * 5 * 3)


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((32, 32, 3), 4, 4), ((15, 24, 1), 1, 3), ((7, 8, 1), 0, 1)],
)
def test_shift_is_by_up_to_an_eighth_of_each_side(shape, rows, columns):
  image = _image(shape)
  found = [
      shifts.find_shift(shifted, image)
      for shifted in _augmented("shift", image, num=150)
  ]
  # The chance that one of nine does not occur is 9 * (8/9)^150, about 2e-7.
  assert {top for top, _ in found} == {*range(2 * rows + 1)}
  assert {left for _, left in found} == {*range(2 * columns + 1)}


@pytest.mark.parametrize("name", augmentations.AUGMENTATIONS)
def test_augmentation_is_a_function_of_image_and_seed(name):
  image = _image((16, 16, 3))
  augment = augmentations.AUGMENTATIONS[name]
  in_graph = _augmented(name, image, num=5)
  tf.random.set_seed(1)
  seeds = tf.cast(_seeds(5), tf.int64)
  eager = [augment(tf.constant(image), seed).numpy() for seed in seeds]
  np.testing.assert_array_equal(eager, in_graph)
  # What is drawn depends on the seed alone, not on the image.
  others = [augment(tf.constant(2 * image), seed).numpy() for seed in seeds]
  np.testing.assert_array_equal(others, 2 * in_graph)


@pytest.mark.parametrize("name", augmentations.AUGMENTATIONS)
def test_shape_stays_known(name):
  specs = [
      tf.TensorSpec((9, 17, 3), tf.float32),
      tf.TensorSpec((2,), tf.int64),
  ]
  function = tf.function(augmentations.AUGMENTATIONS[name])
  output = function.get_concrete_function(*specs).structured_outputs
  assert (output.shape, output.dtype) == ((9, 17, 3), tf.float32)
