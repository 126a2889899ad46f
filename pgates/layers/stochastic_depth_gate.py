"""A gate with a fixed probability."""

from typing import Any
from typing import Self

import keras
import tensorflow as tf

from pgates.layers import gate_ops
from pgates.layers import gates

_FINAL_SURVIVAL = 0.5


@keras.saving.register_keras_serializable(package="pgates")
class StochasticDepthGate(gates.Gate):
  """Stochastic depth: a fixed survival probability, nothing learned.

  Blocks are dropped per example while training. At inference every block runs
  and its branch is scaled by the survival probability (rule `expected`).

  Args:
    survival_probability: P(open) while training, in (0, 1].
    **kwargs: of `Gate` and `keras.layers.Layer`.

  Call arguments:
    inputs: [batch, ...]; only its batch size is read.

  Returns:
    float32 [batch], the logit of the survival probability.

  Raises:
    ValueError: if the probability is not in (0, 1].

  References:
    Huang et al., arXiv 1603.09382, section 3.
  """

  default_rule = "expected"
  is_learned = False

  def __init__(self, survival_probability: float, **kwargs: Any):
    super().__init__(**kwargs)
    gates.check_probability(
        "survival_probability", survival_probability, one_allowed=True
    )
    self.survival_probability = survival_probability

  @classmethod
  def for_block(
      cls, index: int, num_blocks: int, settings: gates.GateSettings
  ) -> Self:
    """As of `Gate`; survival decays linearly to 0.5 at the last block."""
    share = (index + 1) / num_blocks
    return cls(
        1 - share * (1 - _FINAL_SURVIVAL),
        temperature=settings.temperature,
        name="gate",
    )

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    logit = gate_ops.threshold_logit(self.survival_probability)
    logit = min(logit, gate_ops.OPEN_LOGIT)
    return tf.fill(tf.shape(inputs)[:1], tf.constant(logit, tf.float32))

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    return {**config, "survival_probability": self.survival_probability}
