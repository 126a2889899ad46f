"""Tests of `pgates.training.symbolic_build`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pgates.training import symbolic_build


def two_replicas():
  return tf.distribute.MirroredStrategy(
      ["CPU:0", "CPU:1"],
      # Collectives of several such strategies in one process collide.
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )


def test_keras_alone_cannot_split_its_first_batch_unevenly():
  """When this fails, `symbolic_build` can go."""
  with two_replicas().scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
  with pytest.raises(tf.errors.InvalidArgumentError, match="same size"):
    model.fit(np.ones((7, 4)), np.ones((7, 1)), batch_size=7, verbose=0)


@pytest.mark.slow
def test_batch_is_split_unevenly():
  with two_replicas().scope():
    inputs = keras.Input((4,))
    layer = keras.layers.Dense(1, kernel_initializer="zeros")
    model = symbolic_build.BuiltModel(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
  built = [model.optimizer.built]
  callback = keras.callbacks.LambdaCallback(
      on_train_begin=lambda logs: built.append(model.optimizer.built)
  )
  model.fit(
      np.ones((7, 4)),
      np.ones((7, 1)),
      batch_size=7,
      verbose=0,
      callbacks=[callback],
  )
  assert built == [False, True]
  assert np.all(layer.kernel.numpy() > 0)
