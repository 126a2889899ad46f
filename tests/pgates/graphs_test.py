"""Tests of `pgates.graphs`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates import graphs


def _block(name, gate=True):
  return pgates.GatedResidual(
      keras.layers.Dense(4),
      gate=pgates.DataIndependentGate(initial_probability=0.5)
      if gate
      else None,
      name=name,
  )


def _nested_model():
  """Blocks b, (nested: d, a), c, of which a has no gate."""
  inner_inputs = keras.Input((4,))
  hidden, *_ = _block("d")(inner_inputs)
  hidden, *_ = _block("a", gate=False)(hidden)
  inner = keras.Model(inner_inputs, hidden, name="inner")
  inputs = keras.Input((4,))
  hidden, *_ = _block("b")(inputs)
  outputs, *_ = _block("c")(inner(hidden))
  return keras.Model(inputs, outputs, name="outer")


def _flat_model(num_blocks=3):
  inputs = keras.Input((4,))
  hidden, gates, gate_logits = inputs, [], []
  for i in range(num_blocks):
    hidden, gate, logit = _block(f"block{i}")(hidden)
    gates.append(gate)
    gate_logits.append(logit)
  logits = keras.layers.Dense(2, name="head")(hidden)
  return pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, gates, gate_logits), name="flat"
  )


def _names(model):
  return [block.name for block in pgates.gated_blocks(model)]


def test_gated_blocks_come_in_call_order_through_nested_models():
  assert _names(_nested_model()) == ["b", "d", "a", "c"]


def test_gated_blocks_come_in_call_order_and_not_that_of_their_creation():
  made = {name: _block(name) for name in "abc"}
  inputs = keras.Input((4,))
  hidden = inputs
  for name in "cab":
    hidden, *_ = made[name](hidden)
  assert _names(keras.Model(inputs, hidden)) == ["c", "a", "b"]


def test_model_without_blocks_has_no_gated_blocks():
  inputs = keras.Input((4,))
  model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
  assert pgates.gated_blocks(model) == []


def _draws(model, steps=2):
  inputs = tf.zeros([200, 4])
  draws = []
  for block in pgates.gated_blocks(model):
    if block.gate is not None:
      for _ in range(steps):
        draws.append(block(inputs, rule="sampled")[1].numpy())
  return np.stack(draws)


@pytest.mark.parametrize("make", [_flat_model, _nested_model])
def test_equal_seeds_restart_equal_noise(make):
  model = make()
  pgates.seed_gates(model, 3)
  first = _draws(model)
  continued = _draws(model)
  pgates.seed_gates(model, 3)
  np.testing.assert_array_equal(_draws(model), first)
  other = make()
  pgates.seed_gates(other, 3)
  np.testing.assert_array_equal(_draws(other), first)
  assert np.any(continued != first)


def test_gates_and_steps_and_seeds_have_noise_of_their_own():
  model = _flat_model()
  draws = []
  for seed in (0, 1):
    pgates.seed_gates(model, seed)
    draws.extend(_draws(model))
  # Shares of equal fair coins, 200 of them, in 4 standard errors.
  for i, one in enumerate(draws):
    for other in draws[:i]:
      assert abs(np.mean(one == other) - 0.5) < 4 * 0.5 / np.sqrt(200)


def test_rebuild_shares_the_layers_and_their_variables():
  model = _flat_model()
  copy = graphs.rebuild(model)
  inputs = tf.constant(np.random.default_rng(0).normal(size=(5, 4)), tf.float32)
  assert not isinstance(copy, pgates.GatedModel)
  assert [id(v) for v in copy.variables] == [id(v) for v in model.variables]
  assert copy.get_layer("head") is model.get_layer("head")
  model.get_layer("head").kernel.assign(np.ones((4, 2)))
  expected, received = model(inputs), copy(inputs)
  assert received.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_array_equal(received[name], value)


@pytest.mark.parametrize("make", [_flat_model, _nested_model])
def test_rebuild_calls_every_block_as_told(make):
  model = make()
  called = []

  def call(layer, *args, **kwargs):
    if isinstance(layer, pgates.GatedResidual):
      called.append(layer.name)
      kwargs["rule"] = "always_open"
    return layer(*args, **kwargs)

  for block in pgates.gated_blocks(model):
    if block.gate is not None:
      block.gate.logit.assign(-5.0)
  copy = graphs.rebuild(model, call=call)
  assert sorted(called) == sorted(_names(model))
  inputs = tf.constant(np.random.default_rng(0).normal(size=(5, 4)), tf.float32)
  expected = inputs
  for block in pgates.gated_blocks(model):
    expected = tf.nn.relu(expected + block.branch(expected))
  if make is _flat_model:
    expected = model.get_layer("head")(expected)
    np.testing.assert_array_equal(copy(inputs)["gates"], np.ones((5, 3)))
    np.testing.assert_allclose(copy(inputs)["logits"], expected, rtol=1e-6)
  else:
    np.testing.assert_allclose(copy(inputs), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [_flat_model, _nested_model])
def test_call_with_gives_every_block_its_settings(make):
  model = make()
  for block in pgates.gated_blocks(model):
    if block.gate is not None:
      block.gate.logit.assign(-5.0)
  call = graphs.call_with(rule="always_open", execution="routed")
  copy = graphs.rebuild(model, call=call)
  settings = [
      block._inbound_nodes[-1].arguments.kwargs
      for block in pgates.gated_blocks(copy)
  ]
  assert len(settings) == len(_names(model)) > 2
  for given in settings:
    assert given["rule"] == "always_open"
    assert given["execution"] == "routed"
  if make is _flat_model:
    gates = copy(np.ones((5, 4), np.float32))["gates"]
    np.testing.assert_array_equal(gates, np.ones((5, 3)))


def test_fresh_inputs_are_like_those_of_the_model():
  theirs = keras.Input((4, 3), batch_size=2, dtype="uint8")
  ours = graphs.fresh_inputs(keras.Model(theirs, theirs))
  assert ours is not theirs
  assert (ours.shape, ours.dtype) == ((2, 4, 3), "uint8")
  assert ours.name == "images"
  named = {
      name: keras.Input((size,), name=name)
      for name, size in (("b", 2), ("a", 3))
  }
  ours = graphs.fresh_inputs(keras.Model(named, named["a"]))
  assert {name: each.shape for name, each in ours.items()} == {
      "a": (None, 3),
      "b": (None, 2),
  }
  assert [each.name for each in ours.values()] == list(ours)


def test_gated_calls_are_in_the_order_of_columns():
  block = pgates.GatedResidual(keras.layers.Dense(3), macs=1)
  other = pgates.GatedResidual(keras.layers.Dense(3), macs=1)
  inner_inputs = keras.Input((3,))
  inner = keras.Model(inner_inputs, block(inner_inputs))
  inputs = keras.Input((3,))
  x, _, _ = inner(inputs)
  x, _, _ = other(x)
  x, _, _ = inner(x)
  model = keras.Model(inputs, x)
  assert graphs.gated_calls(model) == [block, other, block]
  assert graphs.gated_calls(keras.Model(inputs, inputs)) == []


def test_rebuild_exchanges_layers():
  model = _flat_model()
  head = keras.layers.Dense(7)
  copy = graphs.rebuild(
      model,
      replace=lambda layer: head if layer.name == "head" else layer,
  )
  assert copy.output["logits"].shape == (None, 7)
  assert model.output["logits"].shape == (None, 2)
  assert pgates.gated_blocks(copy) == pgates.gated_blocks(model)


def test_rebuild_takes_other_inputs():
  model = _flat_model()
  inputs = keras.Input((4,), name="mine")
  assert graphs.rebuild(model, input_tensors=inputs).inputs[0] is inputs


def test_rebuild_leaves_the_compiled_model_alone():
  model = _flat_model()
  model.compile("adam")
  num_variables = len(model.optimizer.variables)
  copy = graphs.rebuild(model)
  assert getattr(copy, "optimizer", None) is None
  assert len(model.optimizer.variables) == num_variables


def test_rebuild_of_a_model_that_is_not_functional_is_an_error():
  class Subclassed(keras.Model):

    def call(self, inputs):
      return inputs

  with pytest.raises(ValueError, match="functional.*Received: <Subclassed"):
    graphs.rebuild(Subclassed())


class _Typed(pgates.GatedModel):
  """Passes on what it is given, and says so with types."""

  def __init__(self, *args: object, **kwargs: object):
    super().__init__(*args, **kwargs)


def test_constructor_with_types_is_one_that_passes_on_what_it_is_given():
  model = _flat_model()
  typed = _Typed(model.input, model.output)
  copy = graphs.rebuild(typed)
  assert type(graphs.same_class(typed, copy.input, copy.output)) is _Typed


def test_same_class_is_that_of_the_original():
  model = _flat_model()
  copy = graphs.rebuild(model)
  again = graphs.same_class(model, copy.input, copy.output, name="again")
  assert type(again) is pgates.GatedModel
  assert again.name == "again"
  plain = _nested_model()
  copy = graphs.rebuild(plain)
  again = graphs.same_class(plain, copy.input, copy.output)
  assert type(again) is type(plain)
