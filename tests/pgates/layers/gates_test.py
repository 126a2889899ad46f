"""Tests of `pgates.layers.gates`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import gate_rules

LEARNED = (pgates.DataDependentGate, pgates.DataIndependentGate)
OUT_OF_RANGE = (0.0, -0.1, 1.1, math.nan)


def _images(batch=64, channels=12):
  rng = np.random.default_rng(0)
  return tf.constant(rng.normal(size=(batch, 5, 4, channels)), tf.float32)


def _decide(gate, logits, text, **kwargs):
  return gate.decide(tf.constant(logits), rule=gate_rules.parse(text), **kwargs)


def test_defaults_are_those_of_the_reference():
  dependent = pgates.DataDependentGate().get_config()
  assert dependent["hidden_units"] == 16
  assert dependent["initial_probability"] == 0.87
  assert dependent["temperature"] == 1.0
  independent = pgates.DataIndependentGate().get_config()
  assert independent["initial_probability"] == 0.98


@pytest.mark.parametrize("shape", [(7,), (5, 7), (5, 4, 7), (2, 3, 4, 7)])
def test_gates_read_inputs_of_any_rank(shape):
  inputs = tf.random.stateless_normal((3, *shape), seed=(0, 0))
  for gate in (
      pgates.DataDependentGate(),
      pgates.DataIndependentGate(),
      pgates.StochasticDepthGate(0.5),
  ):
    logits = gate(inputs)
    assert logits.shape == (3,)
    # The same as for the pooled inputs.
    pooled = tf.reduce_mean(tf.reshape(inputs, (3, -1, 7)), axis=1)
    np.testing.assert_allclose(logits, gate(pooled), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("layer", LEARNED)
def test_gate_arithmetic_is_float32_under_any_policy(layer, policy):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(policy)
  try:
    gate = layer(initial_probability=0.999)
    logits = gate(_images())
  finally:
    keras.config.set_dtype_policy(before)
  assert logits.dtype == tf.float32
  # In bfloat16 .999 would be .9990 or .9980, with nothing between.
  if layer is pgates.DataIndependentGate:
    np.testing.assert_allclose(tf.sigmoid(logits), 0.999, rtol=1e-6)
  for rule in gate_rules.NAMES:
    text = "threshold:0.3" if rule == "threshold" else rule
    decided, scales = _decide(gate, logits, text)
    assert decided.dtype == tf.float32
    assert scales is None or scales.dtype == tf.float32


def test_map_opens_above_one_half_exactly():
  gate = pgates.DataIndependentGate()
  opened, scales = _decide(gate, [1e-9, -1e-9, 0.0, 3.0, -3.0], "map")
  np.testing.assert_array_equal(opened, [1, 0, 0, 1, 0])
  assert scales is None


def test_threshold_of_the_rule_opens_above_its_probability():
  gate = pgates.DataIndependentGate()
  logits = np.log(np.array([0.2, 0.29, 0.31, 0.9]) / [0.8, 0.71, 0.69, 0.1])
  opened, scales = _decide(gate, logits.astype("f"), "threshold:0.3")
  np.testing.assert_array_equal(opened, [0, 0, 1, 1])
  assert scales is None


def test_threshold_of_the_call_may_differ_between_examples():
  gate = pgates.DataIndependentGate()
  opened, _ = _decide(
      gate, [0.0] * 4, "threshold", threshold=tf.constant([0.0, 0.4, 0.6, 1.0])
  )
  np.testing.assert_array_equal(opened, [1, 1, 0, 0])


def test_threshold_without_a_number_is_an_error():
  with pytest.raises(ValueError, match="threshold:0.3"):
    _decide(pgates.DataIndependentGate(), [0.0], "threshold")


def test_always_open_runs_every_block_unscaled():
  opened, scales = _decide(
      pgates.DataIndependentGate(), [-50.0, 0.0, 3.0], "always_open"
  )
  np.testing.assert_array_equal(opened, [1, 1, 1])
  assert scales is None


def test_expected_runs_every_block_scaled_by_its_probability():
  logits = np.float32([-2.0, 0.0, 3.0])
  opened, scales = _decide(pgates.DataIndependentGate(), logits, "expected")
  np.testing.assert_array_equal(opened, [1, 1, 1])
  np.testing.assert_allclose(scales, 1 / (1 + np.exp(-logits)), rtol=1e-6)


def _draws(gate, steps=1, size=1000):
  gate.build((None, 1))
  return np.stack([gate.sample(tf.zeros([size])) for _ in range(steps)])


def _assert_independent(one, other):
  # The share of equal fair coins: 1/2, within 4 standard errors.
  assert abs(np.mean(one == other) - 0.5) < 4 * 0.5 / math.sqrt(one.size)


def test_steps_draw_independently():
  first, second, third = _draws(pgates.DataIndependentGate(seed=1), steps=3)
  _assert_independent(first, second)
  _assert_independent(second, third)


def test_gates_with_other_seeds_draw_independently():
  one = _draws(pgates.DataIndependentGate(seed=1))
  _assert_independent(one, _draws(pgates.DataIndependentGate(seed=2)))


def test_gates_without_seeds_draw_independently():
  one = _draws(pgates.DataIndependentGate())
  _assert_independent(one, _draws(pgates.DataIndependentGate()))


def test_equal_seeds_draw_the_same_at_every_step():
  np.testing.assert_array_equal(
      _draws(pgates.DataIndependentGate(seed=1), steps=3),
      _draws(pgates.StochasticDepthGate(0.5, seed=1), steps=3),
  )


def test_python_seed_makes_gates_without_seeds_reproducible():
  keras.utils.set_random_seed(4)
  one = _draws(pgates.DataIndependentGate(), steps=2)
  keras.utils.set_random_seed(4)
  np.testing.assert_array_equal(
      one, _draws(pgates.DataIndependentGate(), steps=2)
  )


def test_temperature_in_force_shapes_the_gradient():
  logits = tf.linspace(-2.0, 2.0, 50)
  gradients = {}
  for temperature in (0.5, 2.0):
    gate = pgates.DataIndependentGate(temperature=0.5, seed=6)
    gate.build((None, 1))
    gate.current_temperature.assign(temperature)
    with tf.GradientTape() as tape:
      tape.watch(logits)
      drawn = gate.sample(logits)
    gradients[temperature] = tape.gradient(drawn, logits).numpy()
  noise = _noise(seed=6, size=50).numpy()
  for temperature, gradient in gradients.items():
    soft = 1 / (1 + np.exp(-(logits.numpy() + noise) / temperature))
    np.testing.assert_allclose(
        gradient, soft * (1 - soft) / temperature, atol=1e-5
    )


def _noise(seed, size):
  """Logistic noise of a gate's first step, out of its uniform variables."""
  uniform = tf.random.stateless_uniform([size], seed=(seed, 0))
  return tf.math.log(uniform) - tf.math.log1p(-uniform)


def test_training_starts_from_the_temperature_of_the_constructor():
  gate = pgates.DataIndependentGate(temperature=0.5)
  gate.build((None, 1))
  assert gate.current_temperature.numpy() == 0.5
  assert not gate.current_temperature.trainable


@pytest.mark.parametrize("layer", LEARNED)
def test_map_is_the_default_of_learned_gates(layer):
  assert layer().default_rule == "map"


@pytest.mark.parametrize("probability", [*OUT_OF_RANGE, 1.0])
@pytest.mark.parametrize("layer", LEARNED)
def test_initial_probability_out_of_range_is_an_error(layer, probability):
  message = rf"`initial_probability`.*\(0, 1\). Received: {probability}"
  with pytest.raises(ValueError, match=message):
    layer(initial_probability=probability)


@pytest.mark.parametrize("temperature", [0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("layer", LEARNED)
def test_temperature_that_is_not_positive_is_an_error(layer, temperature):
  with pytest.raises(ValueError, match=f"Received: {temperature}"):
    layer(temperature=temperature)


def test_gate_of_ones_own_needs_only_a_call():
  class BrightnessGate(pgates.Gate):

    def call(self, inputs):
      return tf.reduce_mean(inputs, axis=[1, 2, 3])

  block = pgates.GatedResidual(
      keras.layers.Conv2D(12, 1), gate=BrightnessGate(seed=1)
  )
  images = _images()
  _, opened, logits = block(images)
  np.testing.assert_allclose(logits, np.mean(images, (1, 2, 3)), atol=1e-6)
  np.testing.assert_array_equal(opened, logits > 0)


def test_examples_of_an_independent_gate_draw_independently():
  gates_drawn = _draws(pgates.DataIndependentGate(seed=1))[0]
  _assert_independent(gates_drawn[1:], gates_drawn[:-1])
