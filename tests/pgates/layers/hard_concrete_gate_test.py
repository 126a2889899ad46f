"""Tests of `pgates.layers.hard_concrete_gate`, against the paper's formulas."""

import keras
import numpy as np
import pytest
from scipy import special
import tensorflow as tf

import pgates
from pgates.layers import gate_rules
from pgates.layers import hard_concrete_gate
from tests.helpers import layer_contract
from tests.helpers import parameters

SAMPLED = gate_rules.parse("sampled")
MAP = gate_rules.parse("map")
LOW, HIGH = -0.1, 1.1


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize(
    "case", layer_contract.cases_of(hard_concrete_gate), ids=str
)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


def gate_of(log_alpha, **kwargs):
  gate = pgates.HardConcreteGate(seed=3, **kwargs)
  gate.build((None, 2))
  gate.log_alpha.assign(log_alpha)
  return gate


def stretched(logits):
  return np.clip(special.expit(logits) * (HIGH - LOW) + LOW, 0, 1)


def not_zero(log_alpha, temperature):
  """Equation 12."""
  return special.expit(log_alpha - temperature * np.log(-LOW / HIGH))


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("temperature", [2 / 3, 0.3])
def test_gate_starts_at_its_initial_probability(probability, temperature):
  gate = pgates.HardConcreteGate(
      initial_probability=probability, temperature=temperature
  )
  gate.build((None, 2))
  received = not_zero(float(gate.log_alpha), temperature)
  assert received == pytest.approx(probability, rel=1e-5)


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 1.5])
@pytest.mark.parametrize("temperature", [2 / 3, 0.4])
def test_samples_have_the_papers_law(log_alpha, temperature):
  gate = gate_of(log_alpha, temperature=temperature)
  count = 40_000
  opened, factors = gate.decide(gate(tf.zeros((count, 2))), rule=SAMPLED)
  np.testing.assert_array_equal(opened, np.asarray(factors) > 0)
  error = 4 * 0.5 / np.sqrt(count)
  expected = not_zero(log_alpha, temperature)
  assert np.mean(opened) == pytest.approx(expected, abs=error)
  # P(z < x), by the quantile of the logistic noise (equation 23).
  for x in (0.0, 0.3, 0.7, 0.999999):
    logit = special.logit((x - LOW) / (HIGH - LOW))
    expected = special.expit(temperature * logit - log_alpha)
    assert np.mean(np.asarray(factors) <= x) == pytest.approx(
        expected, abs=error
    )


def test_gradient_of_the_rate_is_that_of_the_expected_norm():
  gate = gate_of(0.4)
  with tf.GradientTape() as tape:
    opened, _ = gate.decide(gate(tf.zeros((64, 2))), rule=SAMPLED)
    rate = tf.reduce_mean(opened)
  p = not_zero(0.4, 2 / 3)
  received = tape.gradient(rate, gate.log_alpha.value)
  assert float(received) == pytest.approx(p * (1 - p), rel=1e-5)


def test_gradient_of_the_factor_is_that_inside_of_the_interval():
  gate = gate_of(0.4, temperature=0.5)
  with tf.GradientTape(persistent=True) as tape:
    logits = gate(tf.zeros((64, 2)))
    tape.watch(logits)
    _, factors = gate.decide(logits, rule=SAMPLED)
  received = tape.gradient(factors, logits)
  factors = factors.numpy().astype(np.float64)
  inside = (factors > 0) & (factors < 1)
  assert 5 < inside.sum() < 60
  s = (factors - LOW) / (HIGH - LOW)
  expected = np.where(inside, (HIGH - LOW) * s * (1 - s) / 0.5, 0)
  np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("log_alpha", [-3.0, -2.5, -2.3, 0.0, 1.0, 2.5])
def test_without_noise_it_is_open_where_it_is_not_zero(log_alpha):
  gate = gate_of(log_alpha)
  opened, factors = gate.decide(gate(tf.zeros((3, 2))), rule=MAP)
  expected = stretched(log_alpha)
  np.testing.assert_allclose(factors, np.full(3, expected), atol=1e-6)
  np.testing.assert_array_equal(opened, np.full(3, expected > 0))


def network(log_alphas):
  """Blocks of 4 units whose gates have these values."""
  keras.utils.set_random_seed(1)
  inputs = keras.Input((4,))
  x, decisions = inputs, []
  for _ in log_alphas:
    x, *decision = pgates.GatedResidual(
        keras.layers.Dense(4), gate=pgates.HardConcreteGate()
    )(x)
    decisions.append(decision)
  outputs = pgates.gated_outputs(
      keras.layers.Dense(3)(x), *zip(*decisions, strict=True)
  )
  model = pgates.GatedModel(inputs, outputs)
  for block, value in zip(pgates.gated_blocks(model), log_alphas, strict=True):
    block.gate.log_alpha.assign(value)
  return model


IMAGES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "execution", parameters.slow_after(1, ["routed", "masked"])
)
@pytest.mark.parametrize(
    "strategy", ["map", "always_open", "expected", "prune:0.5", "settled"]
)
def test_open_blocks_keep_their_factor_under_every_strategy(
    strategy, execution
):
  model = network([0.3, -4.0, 3.0])
  layers = pgates.gated_blocks(model)
  x = IMAGES
  for block, value in zip(layers, [0.3, -4.0, 3.0], strict=True):
    x = np.maximum(x + stretched(value) * np.asarray(block.branch(x)), 0)
  data = tf.data.Dataset.from_tensor_slices((IMAGES, np.zeros(5))).batch(5)
  decided = pgates.with_strategy(
      model, strategy, validation_data=data, execution=execution
  )
  dense = next(
      each for each in model.layers if isinstance(each, keras.layers.Dense)
  )
  np.testing.assert_allclose(
      decided.predict(IMAGES, verbose=0)["logits"],
      dense(x),
      rtol=1e-5,
      atol=1e-6,
  )


def test_pruned_network_is_saved_with_its_factors(tmp_path):
  model = network([0.3, -4.0, 3.0])
  pruned = pgates.prune(model, [1], always_open=[0, 2])
  expected = model.predict(IMAGES, verbose=0)["logits"]
  pruned.save(tmp_path / "pruned.keras")
  loaded = pgates.load_model(tmp_path / "pruned.keras")
  received = loaded.predict(IMAGES, verbose=0)["logits"]
  np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
  assert pruned.macs.dense == 4 * 4 * 2 + 4 * 3


def test_rate_loss_closes_blocks_to_its_target():
  keras.utils.set_random_seed(0)
  model = network([2.0] * 4)
  model.compile(
      keras.optimizers.SGD(0.5),
      keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      rate_loss=pgates.TargetRateLoss(0.5, weight=20.0),
  )
  for block in pgates.gated_blocks(model):
    block.branch.trainable = False
  data = tf.data.Dataset.from_tensors(
      (np.repeat(IMAGES, 20, axis=0), np.zeros(100))
  )
  logs = model.fit(data.repeat(300), verbose=0).history
  probabilities = [
      not_zero(float(block.gate.log_alpha), 2 / 3)
      for block in pgates.gated_blocks(model)
  ]
  assert np.mean(probabilities) == pytest.approx(0.5, abs=0.1), logs
