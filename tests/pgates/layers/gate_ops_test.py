"""Tests of `pgates.layers.gate_ops`."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from pgates.layers import gate_ops
from tests.helpers import parameters

TEMPERATURES = (0.1, 2 / 3, 1.0, 5.0)
SEED = (20, 26)
NUM_DRAWS = 200_000


def _sigmoid(logit):
  return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def _sample_with_gradient(logits, temperature, seed=SEED):
  logits = tf.convert_to_tensor(logits, tf.float32)
  with tf.GradientTape() as tape:
    tape.watch(logits)
    gates = gate_ops.sample(logits, temperature=temperature, seed=seed)
  return gates.numpy(), tape.gradient(gates, logits).numpy()


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("logit", [-3.0, -0.7, 0.0, 1.9, 4.0])
def test_open_probability_is_the_sigmoid_at_any_temperature(logit, temperature):
  gates = gate_ops.sample(
      tf.fill([NUM_DRAWS], logit), temperature=temperature, seed=SEED
  )
  probability = _sigmoid(logit)
  standard_error = math.sqrt(probability * (1 - probability) / NUM_DRAWS)
  assert abs(np.mean(gates) - probability) < 4 * standard_error


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gate_and_gradient_are_those_of_relaxed_bernoulli(temperature):
  logits = np.linspace(-4, 4, 1001, dtype=np.float32)
  distribution = tfp.distributions.RelaxedBernoulli(temperature, logits=logits)
  soft = distribution.sample(seed=SEED).numpy()
  gates, gradient = _sample_with_gradient(logits, temperature)
  np.testing.assert_array_equal(gates, (soft > 0.5).astype(np.float32))
  assert 0.1 < gates.mean() < 0.9
  # float32 rounds 1 - soft near 1.
  np.testing.assert_allclose(
      gradient, soft * (1 - soft) / temperature, atol=1e-6 / temperature
  )


def test_gates_are_exactly_zero_or_one():
  logits = np.linspace(-9, 9, NUM_DRAWS)
  for temperature in TEMPERATURES:
    gates, _ = _sample_with_gradient(logits, temperature)
    assert set(np.unique(gates)) == {0.0, 1.0}


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_gradients_are_finite_for_extreme_logits(temperature):
  logits = np.linspace(-100, 100, NUM_DRAWS)
  gates, gradient = _sample_with_gradient(logits, temperature)
  assert np.isfinite(gates).all()
  assert np.isfinite(gradient).all()
  assert gradient.min() >= 0
  assert gradient.max() <= 0.25 / temperature * (1 + 1e-6)
  # The smallest uniform float32, 2^-23 apart, gives noise within 88 of zero.
  assert gates[0] == 0 and gates[-1] == 1


def _mean_soft_gradient(logit, temperature):
  """Derivative of E[sigmoid((logit + noise) / temperature)], by quadrature."""
  noise = np.linspace(-40, 40, 800_001)
  density = _sigmoid(noise) * _sigmoid(-noise)
  soft = _sigmoid((logit + noise) / temperature)
  step = noise[1] - noise[0]
  return np.sum(density * soft * (1 - soft)) / temperature * step


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("logit", [-2.0, 0.0, 1.9])
def test_mean_gradient_is_that_of_the_mean_soft_gate(logit, temperature):
  _, gradient = _sample_with_gradient(np.full(NUM_DRAWS, logit), temperature)
  standard_error = gradient.std() / math.sqrt(NUM_DRAWS)
  expected = _mean_soft_gradient(logit, temperature)
  assert abs(gradient.mean() - expected) < 4 * standard_error


def test_gradient_becomes_a_spike_at_low_temperature():
  logit, temperature = 1.0, 0.01
  _, gradient = _sample_with_gradient(np.full(NUM_DRAWS, logit), temperature)
  # Most draws have none; the mean is that of P(open), p (1 - p), up to the
  # square of the temperature.
  assert np.mean(gradient > 1e-3) < 0.1
  assert gradient.max() > 20
  probability = _sigmoid(logit)
  standard_error = gradient.std() / math.sqrt(NUM_DRAWS)
  expected = probability * (1 - probability)
  assert abs(gradient.mean() - expected) < 4 * standard_error


def test_gradient_becomes_flat_at_high_temperature():
  temperature = 1e4
  _, gradient = _sample_with_gradient(np.full(1000, 1.0), temperature)
  # 1/4, less the square of (logit + noise) / temperature, below 1e-5.
  np.testing.assert_allclose(gradient * temperature, 0.25, rtol=1e-5)


def _sampler(jit_compile):
  return tf.function(
      lambda logits, offset: gate_ops.sample(
          logits, temperature=1.0, seed=SEED, offset=offset
      ),
      jit_compile=jit_compile,
      reduce_retracing=True,
  )


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("offset", parameters.slow_but([5], [1, 4, 5, 36]))
def test_parts_of_a_batch_draw_what_the_whole_draws(offset, jit_compile):
  logits = tf.linspace(-2.0, 2.0, 37)
  draw = _sampler(jit_compile)
  whole = draw(logits, tf.constant(0)).numpy()
  assert 0 < whole.sum() < 37
  first = draw(logits[:offset], tf.constant(0))
  second = draw(logits[offset:], tf.constant(offset))
  np.testing.assert_array_equal(np.concatenate([first, second]), whole)


def test_empty_part_draws_nothing():
  empty = gate_ops.sample(tf.zeros([0]), temperature=1.0, seed=SEED, offset=3)
  assert empty.shape == (0,)


def test_function_draws_what_eager_draws():
  logits = tf.linspace(-2.0, 2.0, 37)
  eager = gate_ops.sample(logits, temperature=1.0, seed=SEED)
  np.testing.assert_array_equal(_sampler(False)(logits, 0), eager)


def _gates(seed, offset=0):
  return gate_ops.sample(
      tf.zeros([1000]), temperature=1.0, seed=seed, offset=offset
  ).numpy()


@pytest.mark.parametrize("other", [(20, 27), (21, 26), (26, 20)])
def test_seeds_draw_independently(other):
  # The share of equal fair coins, 1000 of them: 1/2 in 4 standard errors.
  equal = np.mean(_gates(SEED) == _gates(other))
  assert abs(equal - 0.5) < 4 * 0.5 / math.sqrt(1000)


def test_examples_draw_independently():
  gates = _gates(SEED)
  for lag in (1, 2, 4):
    equal = np.mean(gates[lag:] == gates[:-lag])
    assert abs(equal - 0.5) < 4 * 0.5 / math.sqrt(1000 - lag)


def test_same_seed_draws_the_same():
  np.testing.assert_array_equal(_gates(SEED), _gates(SEED))


def test_sampling_in_bfloat16_is_float32_arithmetic():
  # In bfloat16 the probability .999 would be .992 (a logit of 4.8).
  logits = tf.fill([NUM_DRAWS], tf.cast(6.9, tf.bfloat16))
  gates = gate_ops.sample(logits, temperature=1.0, seed=SEED)
  assert gates.dtype == tf.float32
  probability = _sigmoid(np.float32(logits[0]))
  standard_error = math.sqrt(probability * (1 - probability) / NUM_DRAWS)
  assert abs(np.mean(gates) - probability) < 4 * standard_error


def test_straight_through_is_hard_forward_and_soft_backward():
  hard, soft = tf.constant([0.0, 1.0, 1.0]), tf.constant([0.9, 0.2, 1e-9])
  with tf.GradientTape() as tape:
    tape.watch((hard, soft))
    gates = gate_ops.straight_through(hard, soft)
    loss = tf.reduce_sum(gates * [2.0, 3.0, 5.0])
  np.testing.assert_array_equal(gates, hard)
  through_hard, through_soft = tape.gradient(loss, (hard, soft))
  assert through_hard is None
  np.testing.assert_array_equal(through_soft, [2.0, 3.0, 5.0])


def test_map_compares_logits_and_not_rounded_probabilities():
  logits = [1e-9, -1e-9, 0.0, 100.0, -100.0]
  gates = gate_ops.open_above(tf.constant(logits), 0.5)
  np.testing.assert_array_equal(gates, [1, 0, 0, 1, 0])


@pytest.mark.parametrize("as_tensor", [False, True])
def test_threshold_zero_opens_all_gates_and_one_opens_none(as_tensor):
  logits = tf.constant([-200.0, -100.0, 0.0, 100.0, 200.0])
  wrap = tf.constant if as_tensor else float
  assert gate_ops.open_above(logits, wrap(0.0)).numpy().all()
  assert not gate_ops.open_above(logits, wrap(1.0)).numpy().any()


def test_threshold_may_differ_between_examples():
  logits = tf.zeros([4])
  gates = gate_ops.open_above(logits, tf.constant([0.4, 0.6, 0.0, 1.0]))
  np.testing.assert_array_equal(gates, [1, 0, 1, 0])


def test_threshold_separates_probabilities_on_its_two_sides():
  for threshold in (1e-6, 0.1, 0.3, 0.7, 0.99):
    logit = np.log(threshold / (1 - threshold))
    below, above = logit - 1e-5, logit + 1e-5
    gates = gate_ops.open_above(tf.constant([below, above]), threshold)
    np.testing.assert_array_equal(gates, [0, 1])


def test_threshold_logit_inverts_the_sigmoid():
  thresholds = np.array([1e-30, 1e-9, 0.01, 0.3, 0.5, 0.7, 0.999])
  expected = np.log(thresholds) - np.log1p(-thresholds)
  received = [gate_ops.threshold_logit(float(t)) for t in thresholds]
  np.testing.assert_allclose(received, expected, rtol=1e-12)
  np.testing.assert_allclose(_sigmoid(received), thresholds, rtol=1e-9)
  tensor = gate_ops.threshold_logit(tf.constant(thresholds))
  assert tensor.dtype == tf.float32
  # 1 - .999 is known to 6e-8 / 1e-3 in float32.
  np.testing.assert_allclose(tensor, expected, rtol=1e-4)


def test_threshold_logit_of_zero_and_one_is_infinite():
  assert gate_ops.threshold_logit(0) == gate_ops.threshold_logit(0.0)
  assert gate_ops.threshold_logit(0) == -math.inf
  assert gate_ops.threshold_logit(1) == math.inf
  ends = gate_ops.threshold_logit(tf.constant([0.0, 1.0]))
  np.testing.assert_array_equal(ends, [-math.inf, math.inf])


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_threshold_logit_refuses_what_is_no_probability(threshold):
  with pytest.raises(ValueError, match=f"Received: {threshold}"):
    gate_ops.threshold_logit(threshold)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "shape", [(3, 7), (3, 5, 7), (3, 5, 4, 7), (3, 2, 5, 4, 7)], ids=str
)
def test_identity_and_mean_is_the_mean_and_its_gradient(shape, jit_compile):
  rng = np.random.default_rng(0)
  inputs, of_inputs = (rng.normal(size=shape).astype("float32") for _ in "io")
  of_means = rng.normal(size=(3, 7)).astype("float32")

  @tf.function(
      jit_compile=jit_compile,
      # The batch and the places may be unknown; not how many channels.
      input_signature=[tf.TensorSpec((*[None] * (len(shape) - 1), 7))],
  )
  def pass_through(inputs):
    with tf.GradientTape() as tape:
      tape.watch(inputs)
      outputs, means = gate_ops.identity_and_mean(inputs)
    grads = tape.gradient((outputs, means), inputs, (of_inputs, of_means))
    return outputs, means, grads

  outputs, means, gradient = pass_through(inputs)
  np.testing.assert_array_equal(outputs, inputs)
  axes = tuple(range(1, len(shape) - 1))
  np.testing.assert_allclose(means, inputs.mean(axes), atol=1e-6)
  num_places = math.prod(shape[1:-1])
  expected = of_inputs + np.expand_dims(of_means, axes) / num_places
  np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "kind, step", [(tf.bfloat16, 2**-6), (tf.float16, 2**-9)]
)
def test_identity_and_mean_is_float32_arithmetic(kind, step):
  # Neighbours in this type, so many that float16 cannot hold their sum.
  values = np.full((2, 200, 200, 3), 3.0)
  values[:, ::2] += step
  inputs = tf.cast(values, kind)
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    outputs, means = gate_ops.identity_and_mean(inputs)
  assert outputs.dtype == kind and means.dtype == tf.float32
  np.testing.assert_allclose(means, 3 + step / 2, rtol=1e-6)
  gradient = tape.gradient(means, inputs, tf.fill([2, 3], 40_000.0))
  assert gradient.dtype == kind
  np.testing.assert_array_equal(tf.cast(gradient, tf.float32), 1.0)
