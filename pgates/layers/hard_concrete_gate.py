"""A gate that is 0, 1, or in between: the L0 method's."""

import math
from typing import Any

import keras
from scipy import special
import tensorflow as tf

from pgates.layers import gate_ops
from pgates.layers import gate_rules
from pgates.layers import gates

# The interval that a sample is stretched to, gamma and zeta of the paper.
_LOW, _HIGH = -0.1, 1.1
# Of log alpha, above which the gate is not 0 without noise.
_NOT_ZERO = float(special.logit(-_LOW / (_HIGH - _LOW)))
# By how much log alpha is raised, times the temperature, in P(not 0).
_RAISED = math.log(-_HIGH / _LOW)


@keras.saving.register_keras_serializable(package="pgates")
class HardConcreteGate(gates.Gate):
  """L0 regularisation: one hard-concrete variable a block, the same for all.

  While training, s = sigmoid((log alpha + logistic noise) / temperature) is
  stretched to (-0.1, 1.1) and clipped to [0, 1]; the branch is multiplied by
  the result. The block counts as open where that is not 0, and the gradient of
  the rate is that of its probability: the expected L0 norm. At inference the
  noise is left out. A block that is 0 then is closed; an open one keeps its
  factor, also where its gate is dropped.

  Args:
    initial_probability: of not being 0 at the start of training.
    temperature: as of `Gate`; the paper takes 2/3.
    **kwargs: of `Gate` and `keras.layers.Layer`.

  Call arguments:
    inputs: [batch, ...]; only its batch size is read.

  Returns:
    float32 [batch], the same for all: above 0 where the gate is not 0 without
    noise, log alpha less its value there.

  Raises:
    ValueError: if the probability is not in (0, 1).

  References:
    Louizos, Welling, Kingma, arXiv 1712.01312, equations 10 to 13.
  """

  def __init__(
      self,
      *,
      initial_probability: float = 0.98,
      temperature: float = 2 / 3,
      **kwargs: Any,
  ):
    super().__init__(temperature=temperature, **kwargs)
    gates.check_probability("initial_probability", initial_probability)
    self.initial_probability = initial_probability

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    super().build(input_shape)
    logit = gate_ops.threshold_logit(self.initial_probability)
    initial = logit - self.temperature * _RAISED
    self.log_alpha = self.add_weight(
        name="log_alpha",
        shape=(),
        initializer=keras.initializers.Constant(initial),
        autocast=False,
    )

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    logit = self.log_alpha.value - _NOT_ZERO
    return tf.broadcast_to(logit, tf.shape(inputs)[:1])

  def decide(
      self,
      logits: tf.Tensor,
      *,
      rule: gate_rules.Rule,
      threshold: float | tf.Tensor | None = None,
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """As of `Gate`; open branches are multiplied by their factor."""
    log_alpha = logits + _NOT_ZERO
    if not rule.is_random:
      opened, _ = super().decide(logits, rule=rule, threshold=threshold)
      return opened, _stretched(log_alpha)
    factors = _stretched(
        gate_ops.sample_logits(log_alpha, **self.noise(logits))
    )
    not_zero = tf.cast(factors > 0, tf.float32)
    # Equation 12.
    probability = tf.sigmoid(log_alpha + self.current_temperature * _RAISED)
    return gate_ops.straight_through(not_zero, probability), factors

  def opened_branch(self, branch: keras.layers.Layer) -> keras.layers.Layer:
    factor = float(_stretched(tf.convert_to_tensor(self.log_alpha.value)))
    if factor == 1:
      return branch
    return keras.Sequential([branch, keras.layers.Rescaling(factor)])

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    return {**config, "initial_probability": self.initial_probability}


def _stretched(logits):
  stretched = tf.sigmoid(logits) * (_HIGH - _LOW) + _LOW
  return tf.clip_by_value(stretched, 0.0, 1.0)
