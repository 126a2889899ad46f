"""Gates: layers that turn a block's input into the logit of running it."""

import math

import keras
import tensorflow as tf

from pgates.layers import gate_ops
from pgates.layers import normalization
from pgates.layers import replicas
from pgates.layers import sublayers


def _check_probability(name, value, *, one_allowed=False):
  upper = 0.0 < value <= 1.0 if one_allowed else 0.0 < value < 1.0
  if not upper:
    interval = "(0, 1]" if one_allowed else "(0, 1)"
    raise ValueError(
        f"`{name}` must be a probability in {interval}. Received: {value}"
    )


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

  Raises:
    ValueError: if the temperature is not positive.
  """

  # The rule at inference when none is asked for.
  default_rule = "map"
  # Whether `call` reads nothing but the mean over space.
  reads_mean = False

  def __init__(self, *, temperature=1.0, seed=None, **kwargs):
    kwargs["dtype"] = "float32"
    super().__init__(**kwargs)
    if not temperature > 0:
      raise ValueError(
          f"`temperature` must be positive. Received: {temperature}"
      )
    self.temperature = float(temperature)
    self.seed = seed
    self.seed_generator = keras.random.SeedGenerator(seed)

  def build(self, input_shape):
    self.current_temperature = self.add_weight(
        name="current_temperature",
        shape=(),
        initializer=keras.initializers.Constant(self.temperature),
        trainable=False,
        autocast=False,
    )

  def observe(self, inputs):
    """What a block hands on of its input, to its branch and to its gate.

    Args:
      inputs: [batch, ..., channels].

    Returns:
      `(inputs, observed)`: the inputs for branch and shortcut, and what
      `call` is to read. They are the same unless a gate has a cheaper way;
      `call` must give the same logits for both.
    """
    return inputs, inputs

  def sample(self, logits):
    """Draws hard gates [batch] with the straight-through gradient."""
    seed = tf.cast(self.seed_generator.next(), tf.int32)
    offset = replicas.batch_offset(tf.shape(logits)[0])
    return gate_ops.sample(
        logits,
        temperature=self.current_temperature,
        seed=seed,
        offset=offset,
    )

  def decide(self, logits, *, rule, threshold=None):
    """Turns logits into decisions.

    Args:
      logits: [batch] logits of running the block.
      rule: a `gate_ops.Rule`.
      threshold: [batch] or [] probabilities, for a rule `threshold` without a
        number of its own.

    Returns:
      `(gates, scales)`, float32 [batch]: whether the block runs, and what its
      branch is then multiplied by; the latter None for 1.

    Raises:
      ValueError: if a threshold is needed and none was given.
    """
    if rule.name == "sampled":
      return self.sample(logits), None
    if rule.name in ("always_open", "expected"):
      scales = None if rule.name == "always_open" else tf.sigmoid(logits)
      return tf.ones_like(logits), scales
    if rule.name == "map":
      threshold = 0.5
    elif rule.threshold is not None:
      threshold = rule.threshold
    if threshold is None:
      raise ValueError(
          "The rule 'threshold' needs a number, as in 'threshold:0.3', or the "
          "call argument `threshold`. Received neither."
      )
    return gate_ops.open_above(logits, threshold), None

  def compute_output_shape(self, input_shape):
    return (input_shape[0],)

  def get_config(self):
    config = super().get_config()
    config |= {"temperature": self.temperature, "seed": self.seed}
    frozen = sublayers.frozen_names(self)
    return config if frozen is None else {**config, "frozen": frozen}

  @classmethod
  def from_config(cls, config):
    config = {**config}
    frozen = config.pop("frozen", None)
    gate = cls(**config)
    sublayers.freeze(gate, frozen)
    return gate


@keras.saving.register_keras_serializable(package="pgates")
class DataDependentGate(Gate):
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
      hidden_units=16,
      initial_probability=0.87,
      synchronized=False,
      **kwargs,
  ):
    super().__init__(**kwargs)
    if hidden_units < 1:
      raise ValueError(
          f"`hidden_units` must be positive. Received: {hidden_units}"
      )
    _check_probability("initial_probability", initial_probability)
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

  def build(self, input_shape):
    super().build(input_shape)
    pooled = (input_shape[0], input_shape[-1])
    hidden = (input_shape[0], self.hidden_units)
    self.hidden.build(pooled)
    self.norm.build(hidden)
    self.logit.build(hidden)

  @property
  def reads_mean(self):
    """Whether the mean is all that `call` reads; a subclass may read more."""
    return type(self).call is DataDependentGate.call

  def observe(self, inputs):
    if not self.reads_mean:
      return super().observe(inputs)
    return gate_ops.with_mean(inputs)

  def call(self, inputs, training=None):
    axes = list(range(1, inputs.shape.rank - 1))
    pooled = tf.reduce_mean(inputs, axis=axes) if axes else inputs
    hidden = self.norm(self.hidden(pooled), training=training)
    return tf.squeeze(self.logit(tf.nn.relu(hidden)), axis=-1)

  def get_config(self):
    return {
        **super().get_config(),
        "hidden_units": self.hidden_units,
        "initial_probability": self.initial_probability,
        "synchronized": self.synchronized,
    }


@keras.saving.register_keras_serializable(package="pgates")
class DataIndependentGate(Gate):
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

  def __init__(self, *, initial_probability=0.98, **kwargs):
    super().__init__(**kwargs)
    _check_probability("initial_probability", initial_probability)
    self.initial_probability = initial_probability

  def build(self, input_shape):
    super().build(input_shape)
    self.logit = self.add_weight(
        name="logit",
        shape=(),
        initializer=keras.initializers.Constant(
            gate_ops.threshold_logit(self.initial_probability)
        ),
        autocast=False,
    )

  def call(self, inputs):
    return tf.broadcast_to(self.logit.value, tf.shape(inputs)[:1])

  def get_config(self):
    config = super().get_config()
    return {**config, "initial_probability": self.initial_probability}


@keras.saving.register_keras_serializable(package="pgates")
class StochasticDepthGate(Gate):
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

  def __init__(self, survival_probability, **kwargs):
    super().__init__(**kwargs)
    _check_probability(
        "survival_probability", survival_probability, one_allowed=True
    )
    self.survival_probability = survival_probability

  def call(self, inputs):
    logit = gate_ops.threshold_logit(self.survival_probability)
    logit = min(logit, gate_ops.OPEN_LOGIT)
    return tf.fill(tf.shape(inputs)[:1], tf.constant(logit, tf.float32))

  def get_config(self):
    config = super().get_config()
    return {**config, "survival_probability": self.survival_probability}
