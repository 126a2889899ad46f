"""Pure functions of gates: sampling, straight-through, thresholds.

A gate is one number per example: the logit of running a block. It is float32,
whatever the precision of the network around it, and so is what it observes.
"""

import keras
from scipy import special
import tensorflow as tf
import tensorflow_probability as tfp

if keras.backend.backend() != "tensorflow":
  raise ImportError(
      "pgates needs Keras on TensorFlow. Received: KERAS_BACKEND="
      f"{keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow before the "
      "first import of keras."
  )

# The logit that a block without a gate reports: open under every threshold
# below 1, and finite, so that averages and histograms of logits stay finite.
OPEN_LOGIT = 100.0


def threshold_logit(threshold: float | tf.Tensor) -> float | tf.Tensor:
  """The logit of a probability: `log(threshold / (1 - threshold))`.

  Decisions compare logits, for rounded probabilities lie: in float32
  `sigmoid(1e-9) > 0.5` is False and `sigmoid(-100)` is 0.

  Args:
    threshold: a probability in [0, 1]; a number or a tensor of any shape.

  Returns:
    float32 of the same shape; -inf for 0, inf for 1.
  """
  if isinstance(threshold, (int, float)):
    if not 0.0 <= threshold <= 1.0:
      raise ValueError(
          f"Expected a probability between 0 and 1. Received: {threshold}"
      )
    return float(special.logit(threshold))
  threshold = tf.cast(threshold, tf.float32)
  return tf.math.log(threshold) - tf.math.log1p(-threshold)


def open_above(logits: tf.Tensor, threshold: float | tf.Tensor) -> tf.Tensor:
  """Gates that open where P(open) is above a threshold.

  Args:
    logits: [batch] logits of running the block.
    threshold: a probability, or a tensor [batch] or [] of them; 0.5 is MAP.

  Returns:
    float32 [batch], 1 where `sigmoid(logits) > threshold`, else 0.
  """
  logits = tf.cast(logits, tf.float32)
  return tf.cast(logits > threshold_logit(threshold), tf.float32)


def straight_through(hard: tf.Tensor, soft: tf.Tensor) -> tf.Tensor:
  """`hard` in the forward pass, the gradient of `soft` in the backward pass.

  References:
    Bengio, Leonard, Courville, arXiv 1308.3432.
  """
  # The added difference is exactly 0, so the forward value is exactly `hard`.
  return tf.stop_gradient(hard) + (soft - tf.stop_gradient(soft))


def sample(
    logits: tf.Tensor,
    *,
    temperature: float | tf.Tensor,
    seed: tf.Tensor,
    offset: int | tf.Tensor = 0,
) -> tf.Tensor:
  """Samples gates from a relaxed Bernoulli, hardened straight-through.

  P(gate = 1) is `sigmoid(logits)` at any temperature; the temperature shapes
  only the gradient, which is that of
  `sigmoid((logits + logistic_noise) / temperature)`.

  The noise of an example depends on `seed` and on its place in the global
  batch, `offset + i`, so that splitting a batch over replicas changes nothing.
  (XLA draws other noise from the same seed, split or not.)

  Args:
    logits: [batch] logits of running the block.
    temperature: positive number or scalar tensor.
    seed: int32 [2], a stateless seed, the same on every replica.
    offset: place of the first example in the global batch.

  Returns:
    float32 [batch] of zeros and ones.

  References:
    Maddison, Mnih, Teh, arXiv 1611.00712 (binary Concrete).
  """
  location = sample_logits(
      logits, temperature=temperature, seed=seed, offset=offset
  )
  hard = tf.cast(location > 0, tf.float32)
  return straight_through(hard, tf.sigmoid(location))


def sample_logits(
    logits: tf.Tensor,
    *,
    temperature: float | tf.Tensor,
    seed: tf.Tensor,
    offset: int | tf.Tensor = 0,
) -> tf.Tensor:
  """Samples the logits of a relaxed Bernoulli, whose sigmoid is its sample.

  Args:
    logits: as of `sample`.
    temperature: as of `sample`.
    seed: as of `sample`.
    offset: as of `sample`.

  Returns:
    float32 [batch], `(logits + logistic_noise) / temperature`.
  """
  logits = tf.cast(logits, tf.float32)
  temperature = tf.cast(temperature, tf.float32)
  # `RelaxedBernoulli.sample()` is the sigmoid of this very variable, but has
  # NaN gradients where it is above 88 (tensorflow/probability#1393); TFP's
  # docstring recommends this form.
  base = tfp.distributions.Logistic(
      loc=tf.pad(logits, [[offset, 0]]) / temperature, scale=1 / temperature
  )
  return tf.ensure_shape(base.sample(seed=seed)[offset:], logits.shape)


@tf.custom_gradient
def identity_and_mean(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Inputs as they are, and their mean over space, with one gradient.

  The gradient of a mean is as large as the inputs. As an operation of its own
  it would be written, scaled, and read again to be added to that of the
  inputs; here it is added while it is broadcast.

  Args:
    inputs: [batch, ..., channels], of any floating type.

  Returns:
    `(inputs, means)`, the means float32 [batch, channels].
  """
  means = tf.cast(inputs, tf.float32)
  # On CPUs one axis after another takes half the time of all at once.
  for _ in inputs.shape[1:-1]:
    means = tf.reduce_mean(means, axis=1)
  num_places = tf.cast(tf.reduce_prod(tf.shape(inputs)[1:-1]), tf.float32)

  def gradient(of_inputs, of_means):
    share = of_means / num_places
    for _ in inputs.shape[1:-1]:
      share = tf.expand_dims(share, 1)
    return of_inputs + tf.cast(share, of_inputs.dtype)

  return (tf.identity(inputs), means), gradient
