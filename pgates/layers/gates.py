"""What all gates are: layers that give the logit of running a block.

A kind of gate is a subclass of `Gate` in a file of its own, and a line in
`gate_kinds`. What other rooms need to know of a kind, the class says itself.
"""

from collections.abc import Callable
import dataclasses
from typing import Any
from typing import Self

import keras
import tensorflow as tf

from pgates.layers import gate_ops
from pgates.layers import gate_rules
from pgates.layers import replicas
from pgates.layers import sublayers

# A dense layer or convolution, and the batch norm behind it -> the layer that
# does the work of both.
Fold = Callable[
    [keras.layers.Layer, keras.layers.BatchNormalization], keras.layers.Layer
]


def check_probability(
    name: str, value: float, *, one_allowed: bool = False
) -> None:
  """Raises a ValueError for what is no probability above 0 (and below 1)."""
  upper = 0.0 < value <= 1.0 if one_allowed else 0.0 < value < 1.0
  if not upper:
    interval = "(0, 1]" if one_allowed else "(0, 1)"
    raise ValueError(
        f"`{name}` must be a probability in {interval}. Received: {value}"
    )


@dataclasses.dataclass(frozen=True)
class GateVariable:
  """What an optimizer is told of a gate's variable.

  Args:
    decays: whether weight decay acts on it.
  """

  decays: bool = True

  @staticmethod
  def of(variable: keras.Variable) -> "GateVariable | None":
    """What a gate has said of a variable; None if it is no gate's."""
    return getattr(variable, "gate_variable", None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GateSettings:
  """What a network asks of all its gates, whatever their kind.

  Args:
    temperature: as of `Gate`.
    initial_probability: P(open) at the start; None for the kind's own.
    synchronized: whether batch statistics are over all replicas.
  """

  temperature: float = 1.0
  initial_probability: float | None = None
  synchronized: bool = False

  def arguments(self) -> dict[str, Any]:
    """Arguments of a gate with a temperature and an initial probability."""
    arguments = {"temperature": self.temperature}
    if self.initial_probability is not None:
      arguments["initial_probability"] = self.initial_probability
    return arguments


@keras.saving.register_keras_serializable(package="pgates")
class Gate(keras.layers.Layer):
  """Base of all gates; a subclass defines `call`: inputs -> logits [batch].

  Gates compute in float32 under every precision policy: in bfloat16 a gate of
  probability 0.999 opens 0.992 of the time.

  Args:
    temperature: of the relaxed Bernoulli variable, positive. Training starts
      from it; `current_temperature` holds the value in force, and
      `pgates.TemperatureSchedule` moves that.
    seed: integer; the noise is a function of it and of the number of calls.
      None draws one from Python's generator (`keras.utils.set_random_seed`).
    **kwargs: of `keras.layers.Layer`.

  Raises:
    ValueError: if the temperature is not positive.
  """

  # The rule at inference when none is asked for.
  default_rule = "map"
  # Whether training moves its probabilities; others need no rate loss.
  is_learned = True
  # Whether `call` reads nothing but the mean over space.
  reads_mean = False
  # Whether `call` reads what the shortcut of its block makes of the inputs.
  reads_shortcut = False

  def __init__(
      self, *, temperature: float = 1.0, seed: int | None = None, **kwargs: Any
  ):
    kwargs["dtype"] = "float32"
    super().__init__(**kwargs)
    if not 0 < temperature < float("inf"):  # Nor NaN.
      raise ValueError(
          f"`temperature` must be a positive number. Received: {temperature}"
      )
    self.temperature = float(temperature)
    self.seed = seed
    self.seed_generator = keras.random.SeedGenerator(seed)

  @classmethod
  def for_block(
      cls, index: int, num_blocks: int, settings: GateSettings
  ) -> Self:
    """The gate of one block of a network that is built with this kind.

    Args:
      index: of the block, from 0.
      num_blocks: of the network.
      settings: those that mean nothing to the kind are ignored.

    Returns:
      A layer named "gate".
    """
    del index, num_blocks
    return cls(**settings.arguments(), name="gate")

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    self.current_temperature = self.add_weight(
        name="current_temperature",
        shape=(),
        initializer=keras.initializers.Constant(self.temperature),
        trainable=False,
        autocast=False,
    )

  def mark_variables(self) -> None:
    """Tells optimizers which variables are a gate's; its block calls this."""
    for variable in self.variables:
      variable.gate_variable = GateVariable(decays=self.decays(variable))

  def decays(self, variable: keras.Variable) -> bool:
    """Whether `pgates.CoupledSGD` decays one of the gate's variables."""
    del variable
    return True

  def macs(self, input_shape: tuple[int | None, ...]) -> int | None:
    """Multiply-adds of one logit.

    Args:
      input_shape: of the block's inputs, (batch, ..., channels).

    Returns:
      An integer; None if unknown: a subclass with kernels has to count them.
    """
    del input_shape
    has_kernels = any(len(variable.shape) > 1 for variable in self.weights)
    return None if has_kernels else 0

  def folded(self, fold: Fold) -> "Gate":
    """This gate with its batch norms folded into the layers before them.

    Args:
      fold: makes one layer of two.

    Returns:
      A gate of the same logits at inference; the gate itself if it has nothing
      to fold.
    """
    del fold
    return self

  def observe(self, inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What a block hands on of its input, to its branch and to its gate.

    Args:
      inputs: [batch, ..., channels].

    Returns:
      `(inputs, observed)`: the inputs for branch and shortcut, and what
      `call` is to read. They are the same unless a gate has a cheaper way;
      `call` must give the same logits for both.
    """
    return inputs, inputs

  def opened_branch(self, branch: keras.layers.Layer) -> keras.layers.Layer:
    """What stands for a block's branch where it always runs, without a gate.

    Args:
      branch: of the block.

    Returns:
      The branch, unless an open gate multiplies it by a number other than 1:
      then a layer that does so.
    """
    return branch

  def sample(self, logits: tf.Tensor) -> tf.Tensor:
    """Draws hard gates [batch] with the straight-through gradient."""
    return gate_ops.sample(logits, **self.noise(logits))

  def noise(self, logits: tf.Tensor) -> dict[str, Any]:
    """Temperature, seed and offset of a call's noise, as of `gate_ops`."""
    return {
        "temperature": self.current_temperature,
        "seed": tf.cast(self.seed_generator.next(), tf.int32),
        "offset": replicas.batch_offset(tf.shape(logits)[0]),
    }

  def decide(
      self,
      logits: tf.Tensor,
      *,
      rule: gate_rules.Rule,
      threshold: float | tf.Tensor | None = None,
  ) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Turns logits into decisions.

    Args:
      logits: [batch] logits of running the block.
      rule: a `gate_rules.Rule`.
      threshold: [batch] or [] probabilities, for a rule `threshold` without a
        number of its own.

    Returns:
      `(gates, scales)`, float32 [batch]: whether the block runs, and what its
      branch is then multiplied by; the latter None for 1.

    Raises:
      ValueError: if a threshold is needed and none was given.
    """
    if rule.is_random:
      return self.sample(logits), None
    if rule.runs_all:
      scales = tf.sigmoid(logits) if rule.scales else None
      return tf.ones_like(logits), scales
    if rule.threshold is not None:
      threshold = rule.threshold
    if threshold is None:
      raise ValueError(
          "The rule 'threshold' needs a number, as in 'threshold:0.3', or the "
          "call argument `threshold`. Received neither."
      )
    return gate_ops.open_above(logits, threshold), None

  def compute_output_shape(
      self, input_shape: tuple[int | None, ...]
  ) -> tuple[int | None, ...]:
    return (input_shape[0],)

  def get_config(self) -> dict[str, Any]:
    config = super().get_config()
    config |= {"temperature": self.temperature, "seed": self.seed}
    frozen = sublayers.frozen_names(self)
    return config if frozen is None else {**config, "frozen": frozen}

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> Self:
    config = {**config}
    frozen = config.pop("frozen", None)
    gate = cls(**config)
    sublayers.freeze(gate, frozen)
    return gate
