"""Batch normalisation that knows of replicas without examples."""

import keras
import tensorflow as tf

from pgates import replicas


@keras.saving.register_keras_serializable(package="pgates")
class BatchNormalization(keras.layers.BatchNormalization):
  """Keras's layer, for replicas that may hold no example.

  `GatedModel` gives an empty replica one example of zeros to compute with.
  This layer keeps it out of the moving statistics and, synchronised, out of
  the statistics of the global batch. Keras's own layer takes the zeros for
  data (and without them writes 0 / 0 into the weights).

  The defaults are PyTorch's, which the papers' recipes assume.

  Args:
    momentum: of the moving statistics.
    epsilon: added to the variance.
    **kwargs: of `keras.layers.BatchNormalization`.
  """

  def __init__(self, *, momentum=0.9, epsilon=1e-5, **kwargs):
    super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

  def call(self, inputs, training=None, mask=None):
    place = replicas.current_batch()
    in_parts = training and replicas.num_replicas() > 1 and place is not None
    if not in_parts:
      return super().call(inputs, training=training, mask=mask)
    empty = tf.equal(place.local_size, 0)
    if self.synchronized:
      outputs = super().call(inputs[: place.local_size], training=True)
      outputs = replicas.pad_batch(outputs, tf.cast(empty, tf.int32))
      return tf.ensure_shape(outputs, inputs.shape)
    statistics = (self.moving_mean, self.moving_variance)
    before = [tf.identity(variable.value) for variable in statistics]
    outputs = super().call(inputs, training=True)
    for variable, value in zip(statistics, before, strict=True):
      variable.assign(tf.where(empty, value, variable.value))
    return outputs
