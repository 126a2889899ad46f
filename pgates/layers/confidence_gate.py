"""A gate that opens where the answer so far is not sure."""

import keras
import tensorflow as tf

from pgates.layers import gates

# Below this, float32 has no exponential.
_LOWEST = 80.0


@keras.saving.register_keras_serializable(package="pgates")
class ConfidenceGate(gates.Gate):
  """A gate that opens where the answer so far is not sure.

  It reads what the shortcut of its block computes, the logits of classes, and
  P(open) is one minus the highest of their probabilities: by the shortcut's own
  account, that its answer is wrong. It learns nothing.

  Args:
    **kwargs: of `Gate` and `keras.layers.Layer`.

  Call arguments:
    inputs: [batch, classes], logits of two classes or more.

  Returns:
    float32 [batch], the logit of running the block, at least -80.

  Raises:
    ValueError: if the inputs are no logits of several classes.

  References:
    Wang et al., "IDK cascades", arXiv 1706.00885.
  """

  is_learned = False
  reads_shortcut = True

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    if len(input_shape) != 2 or input_shape[-1] is None or input_shape[-1] < 2:
      raise ValueError(
          f"{self.name} reads logits [batch, classes] of two classes or more, "
          "from the shortcut of its block. Received inputs of shape "
          f"{tuple(input_shape)}"
      )
    super().build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    inputs = tf.cast(inputs, tf.float32)
    classes = inputs.shape[-1]
    top = tf.one_hot(
        tf.argmax(inputs, axis=-1), classes, on_value=True, off_value=False
    )
    below = inputs - tf.reduce_max(inputs, axis=-1, keepdims=True)
    # log((1 - p) / p). The others are summed without the highest: in float32
    # 1 - p is 0 for answers that are very sure.
    others = tf.where(top, 0.0, tf.exp(tf.maximum(below, -_LOWEST)))
    return tf.math.log(tf.reduce_sum(others, axis=-1))
