"""A gate with one learned logit."""

from typing import Any

import keras
import tensorflow as tf

from pgates.layers import gate_ops
from pgates.layers import gates


@keras.saving.register_keras_serializable(package="pgates")
class DataIndependentGate(gates.Gate):
  """A gate with one learned logit, drawn independently for each example.

  Args:
    initial_probability: P(open) at the start of training.
    **kwargs: of `Gate` and `keras.layers.Layer`.

  Call arguments:
    inputs: [batch, ...]; only its batch size is read.

  Returns:
    float32 [batch], the logit of running the block, the same for all.

  Raises:
    ValueError: if the probability is not in (0, 1).

  References:
    Herrmann, Bowen, Zabih, arXiv 1812.04180v1.
  """

  def __init__(self, *, initial_probability: float = 0.98, **kwargs: Any):
    super().__init__(**kwargs)
    gates.check_probability("initial_probability", initial_probability)
    self.initial_probability = initial_probability

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    super().build(input_shape)
    self.logit = self.add_weight(
        name="logit",
        shape=(),
        initializer=keras.initializers.Constant(
            gate_ops.threshold_logit(self.initial_probability)
        ),
        autocast=False,
    )

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(self.logit.value, tf.shape(inputs)[:1])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    return {**config, "initial_probability": self.initial_probability}
