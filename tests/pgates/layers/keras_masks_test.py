"""Tests of pgates/layers/keras_masks.py; in use: keras_faithful_test.py."""

import keras
import numpy as np
import tensorflow as tf

from pgates.layers import keras_masks


def test_mask_is_that_of_keras_layers():
  x = tf.constant([[[0.0, 0.0], [1.0, 2.0]]])
  masked = keras.layers.Masking()(x)
  np.testing.assert_array_equal(keras_masks.mask_of(masked), [[False, True]])
  assert keras_masks.mask_of(x) is None
  # The bug that the adapter is for: any operation drops the mask.
  assert keras_masks.mask_of(masked[:1]) is None


def test_keras_layers_see_the_mask_given():
  mask = tf.constant([[True, False]])
  x = keras_masks.with_mask(tf.constant([[[1.0], [5.0]]]), mask)
  assert keras_masks.with_mask(x, None) is x
  pooled = keras.layers.GlobalAveragePooling1D()(x)
  np.testing.assert_array_equal(pooled, [[1.0]])


def test_keras_has_no_public_function_for_masks():
  """Where this fails, use the function in place of the adapter."""
  public = [*dir(keras), *dir(keras.ops), *dir(keras.utils), *dir(keras.tree)]
  assert not [name for name in public if "keras_mask" in name]
