"""Tests of gated networks of others that are not one input, one output."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters
from tests.helpers import residual_networks as networks
from tests.helpers import toys

layers = keras.layers
_SPARSE = keras.losses.SparseCategoricalCrossentropy


def _block(x, name, units=7):
  y = layers.Dense(units, activation="relu", name=f"{name}_one")(x)
  y = layers.Dense(x.shape[-1], name=f"{name}_two")(y)
  return layers.Add(name=name)([x, y])


def _two_heads():
  """A class and a box, and a tap within the second block."""
  x = keras.Input((6,), name="features")
  y = _block(_block(x, "a"), "b")
  outputs = {
      "class": layers.Dense(3, activation="softmax", name="class")(y),
      "box": layers.Dense(4, name="box")(_block(y, "c")),
  }
  return keras.Model(x, outputs, name="heads")


def _features(count=8):
  generator = np.random.default_rng(0)
  return generator.normal(size=(count, 6)).astype("float32")


LABELS = {
    "class": np.arange(8) % 3,
    "box": np.ones((8, 4), "float32"),
}


def test_several_outputs_keep_names_losses_and_values():
  model = _two_heads()
  gated = pgates.gate_residuals(model, gate="independent")
  assert list(gated.output) == ["class", "box", "gates", "gate_logits"]
  opened = pgates.with_strategy(gated, "always_open")(_features())
  for name, expected in model(_features()).items():
    np.testing.assert_array_equal(opened[name], expected)
  losses = {"class": _SPARSE(), "box": keras.losses.MeanSquaredError()}
  gated.compile(
      "sgd",
      losses,
      rate_loss=pgates.TargetRateLoss(0.5),
      metrics={"class": ["accuracy"], "box": ["mae"]},
  )
  logs = gated.evaluate(_features(), LABELS, verbose=0, return_dict=True)
  expected = model(_features())
  for name, loss in losses.items():
    np.testing.assert_allclose(
        logs[f"{name}_loss"], loss(LABELS[name], expected[name]), rtol=1e-5
    )
  history = gated.fit(_features(), LABELS, verbose=0).history
  assert np.isfinite(history["loss"][0]) and "macs" in history


@pytest.mark.parametrize(
    "strategy", parameters.slow_after(1, ["map", "ensemble:2", "prune:0.5"])
)
def test_several_outputs_take_strategies(strategy):
  gated = pgates.gate_residuals(_two_heads(), gate="independent")
  losses = {"class": _SPARSE(), "box": keras.losses.MeanSquaredError()}
  gated.compile("sgd", losses)
  data = tf.data.Dataset.from_tensor_slices((_features(), LABELS)).batch(4)
  decided = pgates.with_strategy(gated, strategy, validation_data=data)
  logs = decided.evaluate(data, verbose=0, return_dict=True)
  assert {"class_loss", "box_loss"} <= set(logs)


@pytest.mark.slow
def test_heads_and_taps_on_a_backbone_keep_their_values_and_train():
  model = networks.two_heads()
  images = networks.images_of(model)
  gated = pgates.gate_residuals(model, min_share=0)
  names = [block.name for block in pgates.gated_blocks(gated)]
  assert len(names) == 15 and "conv3_block2_add" not in names
  expected = model(images, training=False)
  opened = pgates.with_strategy(gated, "always_open")(images)
  assert set(opened) == {*expected, "gates", "gate_logits"}
  for name, value in expected.items():
    np.testing.assert_array_equal(opened[name], value, err_msg=name)
  for name in ("conv2_block2_add", "conv4_block1_add", "conv5_block3_add"):
    index = names.index(name)
    pruned = pgates.prune(gated, [index], always_open=set(range(15)) - {index})
    received = pruned(images, training=False)
    # The shortcut stands first in all of its additions.
    without = networks.without(model, name, 0)(images, training=False)
    for output, value in without.items():
      np.testing.assert_allclose(
          received[output], value, rtol=1e-5, atol=1e-5, err_msg=output
      )
  networks.spread(gated, images)
  masked = pgates.with_strategy(gated, "map")(images)
  routed = pgates.with_strategy(gated, "map", execution="routed")(images)
  for name, value in masked.items():
    np.testing.assert_allclose(
        routed[name], value, rtol=1e-3, atol=1e-4, err_msg=name
    )
  with tf.GradientTape() as tape:
    outputs = gated(images, training=True)
    loss = sum(tf.reduce_mean(outputs[name] ** 2) for name in expected)
  gates = [b.gate.trainable_variables for b in pgates.gated_blocks(gated)]
  for name, found in zip(names, tape.gradient(loss, gates), strict=True):
    assert all(np.all(np.isfinite(each)) for each in found), name
    assert any(np.any(np.asarray(each) != 0) for each in found), name


def test_network_without_logits_wants_its_losses_by_name():
  gated = pgates.gate_residuals(_two_heads(), gate="independent")
  with pytest.raises(ValueError, match=r"\['box', 'class',.*\['logits'\]"):
    gated.compile("sgd")
  with pytest.raises(ValueError, match="Loss of logits.*'mse'"):
    gated.compile("sgd", {"box": "mse"})


def test_logits_want_a_loss_of_logits_and_other_outputs_any():
  gated = pgates.gate_residuals(networks.toy())
  with pytest.raises(ValueError, match="from_logits=True"):
    gated.compile("sgd", _SPARSE())
  gated.compile("sgd", {"classes": _SPARSE()})


def test_nested_model_is_gated_within_and_keeps_its_frozen_mode():
  """Transfer learning: a frozen backbone, called with training=False."""
  inner = keras.Input((6,))
  y = layers.BatchNormalization(name="norm")(_block(inner, "a"))
  backbone = keras.Model(inner, _block(y, "b"), name="backbone")
  backbone.trainable = False
  x = keras.Input((6,))
  y = backbone(x, training=False)
  model = keras.Model(x, layers.Dense(3, name="head")(_block(y, "c")))
  gated = pgates.gate_residuals(model, gate="independent")
  assert [b.name for b in pgates.gated_blocks(gated)] == ["a", "b", "c"]
  opened = pgates.with_strategy(gated, "always_open")(_features())
  np.testing.assert_array_equal(opened["logits"], model(_features()))
  gated.compile("sgd")
  before = [np.copy(v) for v in backbone.variables]
  gated.fit(_features(), LABELS["class"], verbose=0)
  for old, new in zip(before, backbone.variables, strict=True):
    np.testing.assert_array_equal(old, new)
  trained = {v.path.split("/")[0] for v in gated.trainable_variables}
  assert trained == {"a", "b", "c", "c_one", "c_two", "head"}


def test_frozen_batch_norm_keeps_its_statistics():
  model = networks.toy()
  model.get_layer("a1_norm").trainable = False
  gated = pgates.gate_residuals(model)
  gated.compile("sgd", run_eagerly=True)
  norms = [model.get_layer(name) for name in ("a1_norm", "b1_norm")]
  before = [np.copy(norm.moving_mean) for norm in norms]
  gated.fit(networks.images_of(model), np.arange(5), verbose=0)
  np.testing.assert_array_equal(norms[0].moving_mean, before[0])
  assert np.any(np.asarray(norms[1].moving_mean) != before[1])


def test_sizes_that_are_not_fixed_have_no_macs():
  gated = pgates.gate_residuals(networks.toy(size=None))
  assert len(pgates.gated_blocks(gated)) == 4
  with pytest.raises(ValueError, match="share='macs'.*share='gates'"):
    gated.compile("sgd", rate_loss=pgates.TargetRateLoss(0.5, share="macs"))
  with pytest.raises(ValueError, match="size that is not fixed"):
    _ = gated.macs


@pytest.mark.slow
def test_sizes_that_are_not_fixed_train_and_route():
  gated = pgates.gate_residuals(networks.toy(size=None))
  gated.compile("sgd", rate_loss=pgates.TargetRateLoss(0.5))
  masked = pgates.with_strategy(gated, "map")
  routed = pgates.with_strategy(gated, "map", execution="routed")
  for size in (8, 12):
    images = np.random.default_rng(0).uniform(size=(4, size, size, 3))
    logs = gated.train_on_batch(images, np.arange(4), return_dict=True)
    assert np.isfinite(logs["loss"]) and "macs" not in logs
    np.testing.assert_allclose(
        routed(images)["logits"], masked(images)["logits"], rtol=1e-4, atol=1e-5
    )
  names = gated.metrics_names
  assert len(gated.evaluate(images, np.arange(4), verbose=0)) == len(names)


def test_mixed_precision_keeps_variables_and_rounds_alike():
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    model = networks.toy()
  finally:
    keras.config.set_dtype_policy("float32")
  gated = pgates.gate_residuals(model)
  assert all("float32" == v.dtype for v in gated.trainable_variables)
  images = networks.images_of(model)
  opened = pgates.with_strategy(gated, "always_open")(images, training=False)
  np.testing.assert_array_equal(
      np.float32(opened["classes"]), np.float32(model(images, training=False))
  )
  gated.compile("sgd", run_eagerly=True)
  assert np.isfinite(gated.train_on_batch(images, np.arange(5))[0])


@pytest.mark.slow
def test_two_replicas_train_it_as_one_does():
  def trained(scope):
    with scope():
      gated = pgates.gate_residuals(_one_head(), gate="independent")
      gated.compile(
          keras.optimizers.SGD(0.1), rate_loss=pgates.TargetRateLoss(0.2)
      )
      pgates.seed_gates(gated, 1)
      gated.fit(
          _features(), LABELS["class"], batch_size=8, verbose=0, shuffle=False
      )
    return gated.get_weights()

  def _one_head():
    keras.utils.set_random_seed(0)
    x = keras.Input((6,))
    return keras.Model(x, layers.Dense(3)(_block(_block(x, "a"), "b")))

  one = trained(tf.distribute.get_strategy().scope)
  two = trained(toys.two_replicas().scope)
  for first, second in zip(one, two, strict=True):
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_model_of_inner_inputs_is_gated():
  """A model that starts at an inner tensor of another."""
  toy = networks.toy()
  part = keras.Model(toy.get_layer("relu").output, toy.output, name="part")
  gated = pgates.gate_residuals(part)
  assert [b.name for b in pgates.gated_blocks(gated)] == ["b", "c", "d"]
  inputs = np.random.default_rng(0).uniform(size=(3, 8, 8, 6))
  opened = pgates.with_strategy(gated, "always_open")(inputs)
  np.testing.assert_array_equal(opened["classes"], part(inputs))


def test_blocks_under_a_mask_are_refused_and_the_others_gated():
  tokens = keras.Input((5,), dtype="int32")
  x = layers.Embedding(9, 6, mask_zero=True, name="embedding")(tokens)
  x = _block(x, "a")
  y = layers.MultiHeadAttention(1, 4, name="attention")(x, x)
  x = layers.Add(name="b")([x, y])
  x = _block(layers.GlobalAveragePooling1D(name="mean")(x), "c")
  model = keras.Model(tokens, layers.Dense(3)(x))
  data = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
  found = {row.name: row for row in pgates.find_residuals(model)}
  assert "carry a mask" in found["a"].reason
  assert "carry a mask" in found["b"].reason and found["c"].gateable
  gated = pgates.gate_residuals(model, gate="independent")
  opened = pgates.with_strategy(gated, "always_open")(data)
  np.testing.assert_array_equal(opened["logits"], model(data))
