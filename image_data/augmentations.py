"""Random changes to training images, reproducible from a seed."""

import tensorflow as tf


def _keep(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  del seed
  return image


def _shift(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Moves an image by up to an eighth of each side; zeros move in."""
  height, width, channels = image.shape
  rows, columns = height // 8, width // 8
  padded = tf.pad(image, [[rows, rows], [columns, columns], [0, 0]])
  return tf.image.stateless_random_crop(
      padded, [height, width, channels], seed=seed
  )


def _shift_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """The CIFAR recipe: pad 4 pixels on 32, crop, mirror every second image."""
  shift_seed, flip_seed = tf.unstack(tf.random.split(seed))
  shifted = _shift(image, shift_seed)
  return tf.image.stateless_random_flip_left_right(shifted, seed=flip_seed)


def _flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  return tf.image.stateless_random_flip_left_right(image, seed=seed)


# Each is a pure function of an image, float32 [height, width, channels] of
# known shape, and a seed, int64 [2].
AUGMENTATIONS = {
    "none": _keep,
    "shift": _shift,
    "shift_flip": _shift_flip,
    "crop_flip": _flip,
}
# These take a random part of an image, by `crops`, where others resize it.
CROPPING = ("crop_flip",)
