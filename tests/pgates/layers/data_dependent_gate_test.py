"""Tests of `pgates.layers.data_dependent_gate`."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import data_dependent_gate
from tests.helpers import layer_contract


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize(
    "case", layer_contract.cases_of(data_dependent_gate), ids=str
)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


def _images(batch=64, channels=12):
  rng = np.random.default_rng(0)
  return tf.constant(rng.normal(size=(batch, 5, 4, channels)), tf.float32)


@pytest.mark.parametrize("channels", [3, 64])
def test_dependent_gate_costs_what_the_reference_costs_less_one_logit(channels):
  gate = pgates.DataDependentGate()
  gate.build((None, 5, 4, channels))
  # The reference's 16 C + 82 with two logits; the second has 16 + 1.
  assert sum(math.prod(v.shape) for v in gate.trainable_variables) == (
      16 * channels + 82 - 17
  )
  # Beside them the moving moments and the temperature.
  num_fixed = sum(math.prod(v.shape) for v in gate.non_trainable_weights)
  assert num_fixed == 2 * 16 + 1


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.87, 0.98])
def test_dependent_gate_starts_near_its_initial_probability(probability):
  keras.utils.set_random_seed(0)
  gate = pgates.DataDependentGate(initial_probability=probability)
  logits = gate(_images(), training=True).numpy()
  expected = math.log(probability / (1 - probability))
  # Sixteen rectified standard normals, times N(0, 0.0014): the deviation is
  # 0.0014 sqrt(16 / 2) = 0.004.
  assert 0 < np.abs(logits - expected).max() < 5 * 0.004
  gate.logit.kernel.assign(tf.zeros_like(gate.logit.kernel))
  np.testing.assert_allclose(gate(_images()), np.full(64, expected), rtol=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_dependent_gate_computes_its_formula(training):
  gate = pgates.DataDependentGate(hidden_units=3)
  images = _images()
  gate(images)
  rng = np.random.default_rng(1)
  gate.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in gate.weights])
  gate.logit.kernel.assign(tf.constant([[1.0], [-2.0], [0.5]]))

  pooled = images.numpy().mean((1, 2))
  hidden = pooled @ gate.hidden.kernel.numpy() + gate.hidden.bias.numpy()
  mean, variance = hidden.mean(0), hidden.var(0)
  if not training:
    mean = gate.norm.moving_mean.numpy()
    variance = gate.norm.moving_variance.numpy()
  normed = (hidden - mean) / np.sqrt(variance + 1e-5)
  normed = normed * gate.norm.gamma.numpy() + gate.norm.beta.numpy()
  expected = np.maximum(normed, 0) @ gate.logit.kernel.numpy()
  expected = expected[:, 0] + gate.logit.bias.numpy()
  assert expected.std() > 0.1
  np.testing.assert_allclose(
      gate(images, training=training), expected, rtol=1e-4, atol=1e-4
  )


def test_gate_without_hidden_units_is_an_error():
  with pytest.raises(ValueError, match="`hidden_units`.*Received: 0"):
    pgates.DataDependentGate(hidden_units=0)


def test_subclass_of_the_dependent_gate_may_read_more_than_the_mean():
  class ContrastGate(pgates.DataDependentGate):

    def call(self, inputs, training=None):
      deviations = tf.math.reduce_std(inputs, axis=[1, 2])
      return super().call(deviations, training=training)

  gate = ContrastGate(seed=1)
  block = pgates.GatedResidual(keras.layers.Conv2D(12, 1), gate=gate)
  images = _images()
  _, _, logits = block(images)
  np.testing.assert_allclose(
      logits,
      pgates.DataDependentGate.call(gate, tf.math.reduce_std(images, (1, 2))),
  )
  assert np.std(logits) > 0


class _PoolsItself(pgates.DataDependentGate):
  """The dependent gate, of which a block only knows that it can be called."""

  def call(self, inputs, training=None):
    return super().call(inputs, training=training)


def _train_step(gate_layer):
  keras.utils.set_random_seed(3)
  gate = gate_layer(seed=1)
  block = pgates.GatedResidual(
      keras.layers.Conv2D(12, 3, padding="same"), gate=gate
  )
  inputs = _images()
  slopes = tf.random.stateless_normal(inputs.shape, seed=(0, 1))
  block.build(inputs.shape)
  # As after some training: else no input moves the logit by much.
  gate.logit.kernel.assign(100 * gate.logit.kernel)
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    outputs, opened, logits = block(inputs, training=True)
    loss = tf.reduce_sum(outputs * slopes) + 20 * tf.reduce_sum(opened)
  values = [inputs, *block.trainable_variables]
  return [outputs, logits, *tape.gradient(loss, values)]


def test_block_pools_for_its_gate_with_the_same_gradients():
  ours = _train_step(pgates.DataDependentGate)
  plain = _train_step(_PoolsItself)
  assert len(ours) == len(plain) == 11
  for value, expected in zip(ours, plain, strict=True):
    value, expected = np.asarray(value), np.asarray(expected)
    # Of the hidden bias it is zero: a batch norm follows.
    scale = max(1, np.abs(expected).max())
    np.testing.assert_allclose(value, expected, atol=1e-5 * scale)
