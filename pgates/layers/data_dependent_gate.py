"""A gate that reads the block's input."""

import math
from typing import Any
from typing import Self

import keras
import tensorflow as tf

from pgates.layers import gate_ops
from pgates.layers import gates
from pgates.layers import normalization
from pgates.layers import sublayers


@keras.saving.register_keras_serializable(package="pgates")
class DataDependentGate(gates.Gate):
  """A gate that reads the block's input.

  Global average pool, dense `hidden_units`, batch norm, relu, dense 1. The
  reference's two logits (bypass, execute) enter its softmax only by their
  difference, which is the one logit here.

  Args:
    hidden_units: width of the hidden layer.
    initial_probability: P(open) at the start of training.
    synchronized: whether the batch norm's statistics are over all replicas.
    **kwargs: of `Gate` and `keras.layers.Layer`.

  Call arguments:
    inputs: [batch, ..., channels], the block's input, or its mean [batch,
      channels].

  Returns:
    float32 [batch], the logit of running the block.

  Raises:
    ValueError: if an argument is out of its range.

  References:
    Veit and Belongie, arXiv 1711.11503, section 3.3.
  """

  def __init__(
      self,
      *,
      hidden_units: int = 16,
      initial_probability: float = 0.87,
      synchronized: bool = False,
      **kwargs: Any,
  ):
    super().__init__(**kwargs)
    if hidden_units < 1:
      raise ValueError(
          f"`hidden_units` must be positive. Received: {hidden_units}"
      )
    gates.check_probability("initial_probability", initial_probability)
    self.hidden_units = hidden_units
    self.initial_probability = initial_probability
    self.synchronized = synchronized
    self.hidden = sublayers.FullPrecisionDense(
        hidden_units,
        kernel_initializer="he_normal",
        dtype="float32",
        name="hidden",
    )
    self.norm = normalization.BatchNormalization(
        synchronized=synchronized, dtype="float32", name="norm"
    )
    # The difference of two logits whose weights are N(0, 0.001).
    self.logit = sublayers.FullPrecisionDense(
        1,
        kernel_initializer=keras.initializers.RandomNormal(
            stddev=0.001 * math.sqrt(2)
        ),
        bias_initializer=keras.initializers.Constant(
            gate_ops.threshold_logit(initial_probability)
        ),
        dtype="float32",
        name="logit",
    )

  @classmethod
  def for_block(
      cls, index: int, num_blocks: int, settings: gates.GateSettings
  ) -> Self:
    del index, num_blocks
    return cls(
        **settings.arguments(), synchronized=settings.synchronized, name="gate"
    )

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    super().build(input_shape)
    pooled = (input_shape[0], input_shape[-1])
    hidden = (input_shape[0], self.hidden_units)
    self.hidden.build(pooled)
    self.norm.build(hidden)
    self.logit.build(hidden)

  @property
  def reads_mean(self) -> bool:
    """Whether the mean is all that `call` reads; a subclass may read more."""
    return type(self).call is DataDependentGate.call

  def observe(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    if not self.reads_mean:
      return super().observe(inputs)
    return gate_ops.identity_and_mean(inputs)

  def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
    axes = list(range(1, inputs.shape.rank - 1))
    pooled = tf.reduce_mean(inputs, axis=axes) if axes else inputs
    hidden = self.norm(self.hidden(pooled), training=training)
    return tf.squeeze(self.logit(tf.nn.relu(hidden)), axis=-1)

  def macs(self, input_shape: tuple[int | None, ...]) -> int:
    return input_shape[-1] * self.hidden_units + self.hidden_units

  def folded(self, fold: gates.Fold) -> gates.Gate:
    # Of this very class: a subclass may use its layers in another way.
    if type(self) is not DataDependentGate:
      return self
    return _FoldedGate(self, fold(self.hidden, self.norm))

  def get_config(self) -> dict[str, Any]:
    return {
        **super().get_config(),
        "hidden_units": self.hidden_units,
        "initial_probability": self.initial_probability,
        "synchronized": self.synchronized,
    }


class _FoldedGate(DataDependentGate):
  """A data-dependent gate whose batch norm is in its hidden layer."""

  def __init__(self, gate, hidden):
    super().__init__(
        hidden_units=gate.hidden_units,
        initial_probability=gate.initial_probability,
        temperature=gate.temperature,
        seed=gate.seed,
        name=gate.name,
    )
    self.hidden = hidden
    self.norm = keras.layers.Identity()
    self.logit = gate.logit

  def build(self, input_shape):
    # The layers are built already.
    gates.Gate.build(self, input_shape)
