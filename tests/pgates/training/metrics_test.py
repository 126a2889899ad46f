"""Tests of pgates/training/metrics.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

GENERATOR = np.random.default_rng(0)
GATES = (GENERATOR.random((50, 3)) < [0.2, 0.6, 1.0]).astype(np.float32)


def test_open_rates_are_the_mean_over_all_examples():
  metric = pgates.GateOpenRates(3)
  for part in (GATES[:7], GATES[7:8], GATES[8:8], GATES[8:]):
    metric.update_state(part)
  np.testing.assert_allclose(metric.result(), GATES.mean(axis=0), rtol=1e-6)


def test_open_rates_before_the_first_example_are_zero():
  np.testing.assert_array_equal(pgates.GateOpenRates(3).result(), [0, 0, 0])


def test_reset_forgets_all_examples():
  metric = pgates.GateOpenRates(3)
  metric.update_state(np.ones((4, 3), np.float32))
  metric.reset_state()
  metric.update_state(GATES)
  np.testing.assert_allclose(metric.result(), GATES.mean(axis=0), rtol=1e-6)


def test_sample_weights_do_not_change_open_rates():
  metric = pgates.GateOpenRates(3)
  metric.update_state(GATES, sample_weight=np.linspace(0, 5, 50))
  np.testing.assert_allclose(metric.result(), GATES.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "bool", "int32"])
def test_gates_of_any_type_are_counted_in_float32(dtype):
  metric = pgates.GateOpenRates(1)
  gates = tf.cast(tf.ones((1000, 1)), dtype)
  for _ in range(5):  # bfloat16 counts to 256, float16 to 2048.
    metric.update_state(gates)
  assert metric.count.numpy() == 5000
  assert metric.result().numpy() == [1.0]


def test_metric_is_the_same_within_a_graph():
  metric = pgates.GateOpenRates(3)
  tf.function(metric.update_state)(tf.constant(GATES))
  np.testing.assert_allclose(metric.result(), GATES.mean(axis=0), rtol=1e-6)


def test_config_round_trip_keeps_every_argument():
  metric = pgates.GateOpenRates(4, name="rates", dtype="float64")
  restored = keras.saving.deserialize_keras_object(
      keras.saving.serialize_keras_object(metric)
  )
  assert isinstance(restored, pgates.GateOpenRates)
  assert (restored.num_blocks, restored.name) == (4, "rates")
  assert restored.dtype == "float64"


def test_collapsed_share_counts_both_ends_and_not_the_bounds():
  rates = [0.0, 0.049, 0.05, 0.5, 0.95, 0.951, 1.0, 0.3]
  assert pgates.collapsed_share(rates) == 4 / 8
  assert pgates.collapsed_share(rates, low=0.0) == 2 / 8
  assert pgates.collapsed_share(rates, high=1.0) == 2 / 8
  assert pgates.collapsed_share(np.float32([0.5, 0.5])) == 0.0


def test_open_rate_variance_is_the_mean_squared_deviation():
  assert pgates.open_rate_variance([0.0, 1.0, 0.5, 0.5]) == 0.125
  assert pgates.open_rate_variance(np.float32([0.25] * 3)) == 0.0


def test_variance_is_per_layer_less_per_batch_loss():
  rates = GATES.mean(axis=0)
  np.testing.assert_allclose(
      pgates.per_layer_loss(rates, 0.6) - pgates.per_batch_loss(rates, 0.6),
      pgates.open_rate_variance(rates),
      rtol=1e-5,
  )


@pytest.mark.parametrize("labels", [[2, 2, 0, 2], [[2], [2], [0], [2]]])
def test_class_open_rates_are_means_over_the_examples_of_a_class(labels):
  gates = [[1, 0], [0, 0], [1, 1], [1, 0]]
  rates = pgates.class_open_rates(gates, labels, 4)
  nothing = [np.nan, np.nan]
  expected = [[1, 1], nothing, [2 / 3, 0], nothing]
  np.testing.assert_allclose(rates, expected)
