"""Batch normalisation that knows of replicas without examples."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from pgates.layers import replicas


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

  def __init__(
      self, *, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any
  ):
    super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

  def can_scale(self) -> bool:
    """Whether `scaled` does what the layer would, where it is called."""
    is_plain = not (self.renorm or self.activity_regularizer)
    usual = self.trainable and self.axis == -1 and is_plain
    return usual and not _in_parts()

  def scaled(self, inputs: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
    """Normalises by the statistics of the batch, and multiplies examples.

    `scales * self(inputs, training=True)`, but without a pass of its own over
    the outputs, forwards or backwards, and without keeping them: each example
    has its scale and offset. Not where inputs are infinite: 0 * inf is NaN.

    Args:
      inputs: [batch, ..., channels].
      scales: float32 [batch].

    Returns:
      A tensor in the shape of the inputs and the layer's compute type.
    """
    inputs = tf.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    mean, variance = keras.ops.moments(
        inputs,
        axes=list(range(inputs.shape.rank - 1)),
        synchronized=self.synchronized,
    )
    for moving, value in (
        (self.moving_mean, mean),
        (self.moving_variance, variance),
    ):
      kept = tf.cast(moving, inputs.dtype) * self.momentum
      moving.assign(kept + value * (1.0 - self.momentum))
    # As `tf.nn.batch_normalization`, bit for bit where the scale is 1.
    factor = tf.math.rsqrt(variance + self.epsilon)
    if self.scale:
      factor *= tf.cast(self.gamma, inputs.dtype)
    offset = -mean * factor
    if self.center:
      offset += tf.cast(self.beta, inputs.dtype)
    ones = [1] * (inputs.shape.rank - 1)
    scales = tf.reshape(tf.cast(scales, inputs.dtype), [-1, *ones])
    outputs = inputs * (factor * scales) + offset * scales
    return tf.cast(outputs, self.compute_dtype)

  def call(
      self,
      inputs: tf.Tensor,
      training: bool | None = None,
      mask: tf.Tensor | None = None,
  ) -> tf.Tensor:
    if not (training and _in_parts()):
      return super().call(inputs, training=training, mask=mask)
    place = replicas.current_batch()
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


def _in_parts():
  """Whether the global batch is split over replicas."""
  return replicas.num_replicas() > 1 and replicas.current_batch() is not None


def scaled_branch(
    branch: keras.layers.Layer,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None:
  """A branch multiplied by a factor of each example, in its last batch norm.

  Args:
    branch: of a block.

  Returns:
    A callable of inputs [batch, ...] and scales [batch]; None where the branch
    does not end in a batch norm that can scale.
  """
  # A subclass may call its layers in a way of its own.
  if type(branch) is not keras.Sequential:
    return None
  *layers, norm = branch.layers
  if type(norm) is not BatchNormalization or not norm.can_scale():
    return None

  def scaled(inputs, scales):
    outputs = inputs
    for layer in layers:
      outputs = layer(outputs)
    return norm.scaled(outputs, scales)

  return scaled
