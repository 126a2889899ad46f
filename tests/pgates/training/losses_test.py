"""Tests of pgates/training/losses.py, against NumPy and exact gradients."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

RATES = np.array([0.9, 0.2, 0.65, 1.0, 0.0], np.float32)
MACS = (1_000, 40, 300, 0, 2_500_000_000)
TARGETS = [0.5, 0.6, 0.7, 1.0, 0.1]
MIXED_MACS = (5, 1, 2, 4, 8)


def tensors(value):
  return tf.constant(value, tf.float32)


def numpy_loss(rates, target, *, kind, shares, one_sided):
  if kind == "per_batch":
    excess = np.dot(shares, rates) - target
  else:
    excess = rates - np.asarray(target)
  if one_sided:
    excess = np.maximum(excess, 0.0)
  squares = excess**2
  return squares if kind == "per_batch" else np.dot(shares, squares)


@pytest.mark.parametrize(
    "kind, one_sided, share, target",
    [
        combination
        for combination in itertools.product(
            ("per_batch", "per_layer"),
            (False, True),
            ("gates", "macs"),
            (0.0, 0.4, 0.6, 1.0, TARGETS),
        )
        if combination[0] == "per_layer" or combination[3] is not TARGETS
    ],
)
def test_loss_is_the_formula_in_numpy(kind, one_sided, share, target):
  loss = pgates.TargetRateLoss(
      target, kind=kind, weight=1.7, one_sided=one_sided, share=share
  )
  for macs in (MACS, MIXED_MACS):
    costs = np.asarray(macs if share == "macs" else np.ones(5), np.float64)
    expected = 1.7 * numpy_loss(
        RATES.astype(np.float64),
        target,
        kind=kind,
        shares=costs / costs.sum(),
        one_sided=one_sided,
    )
    actual = loss(tensors(RATES), macs)
    assert actual.dtype == tf.float32
    assert actual.shape == ()
    np.testing.assert_allclose(actual, expected, rtol=3e-6, atol=1e-9)


@pytest.mark.parametrize("macs", [None, MIXED_MACS])
@pytest.mark.parametrize("target", [0.0, 0.3, 0.7, 1.0])
def test_per_layer_is_per_batch_plus_variance(macs, target):
  shares = np.ones(5) if macs is None else np.asarray(macs, np.float64)
  shares = shares / shares.sum()
  mean = np.dot(shares, RATES)
  variance = np.dot(shares, (RATES - mean) ** 2)
  per_layer = pgates.per_layer_loss(tensors(RATES), target, block_costs=macs)
  per_batch = pgates.per_batch_loss(tensors(RATES), target, block_costs=macs)
  np.testing.assert_allclose(per_layer - per_batch, variance, rtol=1e-5)


def test_per_batch_loss_lets_blocks_collapse_and_per_layer_does_not():
  collapsed = tensors([1.0, 0.0])
  assert pgates.per_batch_loss(collapsed, 0.5).numpy() == 0.0
  assert pgates.per_layer_loss(collapsed, 0.5).numpy() == 0.25


@pytest.mark.parametrize(
    "function", [pgates.per_batch_loss, pgates.per_layer_loss]
)
def test_one_sided_loss_leaves_rates_below_the_target_alone(function):
  below, above = tensors([0.25] * 4), tensors([0.75] * 4)
  assert function(below, 0.5, one_sided=True).numpy() == 0.0
  assert function(below, 0.5).numpy() == 0.0625
  for one_sided in (False, True):
    assert function(above, 0.5, one_sided=one_sided).numpy() == 0.0625


def test_equal_macs_are_equal_to_gates():
  for function in (pgates.per_batch_loss, pgates.per_layer_loss):
    np.testing.assert_allclose(
        function(tensors(RATES), 0.6, block_costs=[7] * 5),
        function(tensors(RATES), 0.6),
        rtol=1e-6,
    )


def test_share_of_macs_is_the_mean_executed_share():
  rate = 0.5 * 300 + 0.25 * 100  # of 400
  loss = pgates.per_batch_loss(
      tensors([0.5, 0.25]), 0.0, block_costs=[300, 100]
  )
  np.testing.assert_allclose(loss, (rate / 400) ** 2, rtol=1e-6)


def test_a_list_is_what_each_block_costs():
  costs = [0.5, 0.25, 0.0, 2.0, 1.25]
  for kind in ("per_batch", "per_layer"):
    given = pgates.TargetRateLoss(0.6, kind=kind, share=costs)
    counted = pgates.TargetRateLoss(0.6, kind=kind, share="macs")
    np.testing.assert_array_equal(
        given(tensors(RATES), MACS), counted(tensors(RATES), costs)
    )
    assert given(tensors(RATES), MACS) != counted(tensors(RATES), MACS)


def test_weight_may_be_a_schedule():
  schedule = keras.optimizers.schedules.PolynomialDecay(
      0.0, 4, end_learning_rate=3.0
  )
  loss = pgates.TargetRateLoss(0.6, weight=schedule)
  one = float(pgates.TargetRateLoss(0.6)(tensors(RATES), MACS))
  for step, weight in enumerate([0.0, 0.75, 1.5, 2.25, 3.0, 3.0]):
    np.testing.assert_allclose(
        loss(tensors(RATES), MACS, tf.constant(step)), weight * one, rtol=1e-6
    )
  again = pgates.TargetRateLoss.from_config(loss.get_config())
  assert again.get_config() == loss.get_config()
  assert again.weight.get_config() == schedule.get_config()


def gradient(loss, rates, macs):
  rates = tensors(rates)
  with tf.GradientTape() as tape:
    tape.watch(rates)
    value = loss(rates, macs)
  return tape.gradient(value, rates)


@pytest.mark.parametrize("share", ["gates", "macs"])
@pytest.mark.parametrize("target", [0.3, 0.9])
@pytest.mark.parametrize("one_sided", [False, True])
def test_gradient_is_exact(share, target, one_sided):
  shares = np.ones(5) if share == "gates" else np.asarray(MIXED_MACS, float)
  shares = shares / shares.sum()
  options = {"weight": 2.0, "one_sided": one_sided, "share": share}
  clip = (lambda x: np.maximum(x, 0.0)) if one_sided else (lambda x: x)

  per_batch = pgates.TargetRateLoss(target, kind="per_batch", **options)
  excess = clip(np.dot(shares, RATES) - target)
  np.testing.assert_allclose(
      gradient(per_batch, RATES, MIXED_MACS),
      2 * 2.0 * excess * shares,
      rtol=1e-5,
      atol=1e-7,
  )
  per_layer = pgates.TargetRateLoss(target, kind="per_layer", **options)
  np.testing.assert_allclose(
      gradient(per_layer, RATES, MIXED_MACS),
      2 * 2.0 * clip(RATES - target) * shares,
      rtol=1e-5,
      atol=1e-7,
  )


def test_loss_is_the_same_within_a_graph():
  loss = pgates.TargetRateLoss(TARGETS, kind="per_layer", share="macs")
  np.testing.assert_array_equal(
      tf.function(loss)(tensors(RATES), MACS), loss(tensors(RATES), MACS)
  )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"target_rate": -0.1}, "`target_rate` must lie.*-0.1"),
        ({"target_rate": 1.5}, "`target_rate` must lie.*1.5"),
        ({"target_rate": float("nan")}, "`target_rate` must lie.*nan"),
        ({"target_rate": [], "kind": "per_layer"}, r"`target_rate`.*\[\]"),
        ({"target_rate": [0.5, 2], "kind": "per_layer"}, r"\[0.5, 2\]"),
        ({"target_rate": [0.5, 0.6]}, "kind='per_layer'.*0.5, 0.6"),
        ({"kind": "batch"}, "`kind` must be one of.*'batch'"),
        ({"share": "flops"}, "`share` must be one of.*'flops'"),
        ({"share": [1.0, -1.0]}, r"none negative.*\[1.0, -1.0\]"),
        ({"share": [1.0, float("inf")]}, "finite numbers.*inf"),
        ({"share": [1.0, float("nan")]}, "finite numbers.*nan"),
        ({"share": (0, 0)}, r"not all 0.*\[0.0, 0.0\]"),
        ({"share": []}, r"not all 0.*\[\]"),
        ({"weight": float("nan")}, "`weight` must be a number.*nan"),
        (
            {"weight": -1.0},
            "`weight` must be a number that is not negative.*-1.0",
        ),
    ],
)
def test_wrong_argument_is_refused_with_its_value(options, message):
  with pytest.raises(ValueError, match=message):
    pgates.TargetRateLoss(**options)


def test_config_round_trip_keeps_every_argument():
  loss = pgates.TargetRateLoss(
      (0.5, 0.7),
      kind="per_layer",
      weight=2.5,
      one_sided=True,
      share="macs",
  )
  serialized = keras.saving.serialize_keras_object(loss)
  restored = keras.saving.deserialize_keras_object(serialized)
  assert isinstance(restored, pgates.TargetRateLoss)
  assert restored.get_config() == {
      "target_rate": [0.5, 0.7],
      "kind": "per_layer",
      "weight": 2.5,
      "one_sided": True,
      "share": "macs",
  }
  rates = tensors([0.9, 0.8])
  np.testing.assert_array_equal(restored(rates, [1, 3]), loss(rates, [1, 3]))
