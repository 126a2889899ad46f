"""Tests of what `docs/extending.md` says."""

import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from export import variants
from export.decisions import dropped_blocks
from export.transforms import constant_weights
from export.transforms import folding
import pgates
from pgates.inference import strategies
from pgates.layers import gate_kinds

_DOCS = pathlib.Path(__file__).parent.parent / "docs" / "extending.md"


def _example(section):
  """What the code of a section defines."""
  text = _DOCS.read_text("utf-8").split(f"## {section}\n", 1)[1]
  code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
  found = {"__name__": "pgates_extending"}
  exec(compile(code, str(_DOCS), "exec"), found)  # noqa: S102
  return found


@pytest.fixture(name="contrast_gate", scope="module")
def _contrast_gate():
  return _example("Add a gate")["ContrastGate"]


@pytest.fixture(name="model")
def _model(contrast_gate, monkeypatch):
  monkeypatch.setitem(gate_kinds.KINDS, "contrast", contrast_gate)
  keras.utils.set_random_seed(0)
  model = pgates.CifarResNet(8, gate="contrast", input_shape=(8, 8, 3))
  model.compile(
      pgates.CoupledSGD(0.1, coupled_weight_decay=0.5),
      rate_loss=pgates.TargetRateLoss(0.6),
  )
  return model


def _images():
  rng = np.random.default_rng(0)
  # Of many contrasts, so that gates differ.
  scales = rng.uniform(0, 100, size=(6, 1, 1, 1))
  return (scales * rng.uniform(size=(6, 8, 8, 3))).astype("float32")


def _decided(model, **options):
  """The model under MAP, its gates spread over both sides of one half."""
  for block in pgates.gated_blocks(model):
    logits = block.gate(_inputs_of(model, block))
    block.gate.bias.assign_sub(np.median(logits))
  return pgates.with_strategy(model, "map", **options)


def _inputs_of(model, block):
  inner = keras.Model(model.input, block.input)
  return inner(_images())


def test_new_gate_trains_and_decays_what_it_says(model):
  gates = [block.gate for block in pgates.gated_blocks(model)]
  before = [(g.kernel.numpy(), g.bias.numpy()) for g in gates]
  # Nothing to learn from the data: only decay and the rate loss move gates.
  model.fit(_images(), np.arange(6), batch_size=6, verbose=0)
  for gate, (kernel, bias) in zip(gates, before, strict=True):
    assert np.all(np.asarray(gate.kernel) != kernel)
    assert np.isfinite(gate.bias) and gate.bias != bias


def test_new_gate_says_which_of_its_variables_decay(model):
  gate = pgates.gated_blocks(model)[0].gate
  before = gate.kernel.numpy()
  zeros = [tf.zeros(v.shape) for v in model.trainable_variables]
  bias = gate.bias.numpy()
  model.optimizer.apply(zeros, model.trainable_variables)
  np.testing.assert_allclose(gate.kernel, 0.95 * before, rtol=1e-6)
  assert gate.bias == bias


def test_new_gate_counts_and_survives_a_file(model, tmp_path):
  macs = pgates.count_macs(model)
  assert macs.gates == (16, 16, 32)
  model.save(tmp_path / "model.keras")
  again = pgates.load_model(tmp_path / "model.keras")
  for name, value in model.predict(_images(), verbose=0).items():
    np.testing.assert_array_equal(
        again.predict(_images(), verbose=0)[name], value
    )


def test_new_gate_skips_and_is_frozen_for_exports(model):
  images = _images()
  masked = _decided(model).predict(images, verbose=0)
  assert 0 < masked["gates"].mean() < 1
  routed = pgates.with_strategy(model, "map", execution="routed")
  frozen = constant_weights.freeze(
      folding.fold_batch_norms(routed), average_pool=True
  )
  function = tf.function(
      lambda images: frozen(images, training=False), autograph=False
  ).get_concrete_function(tf.TensorSpec([None, 8, 8, 3]))
  assert not function.variables and not function.captured_inputs
  for received in (routed.predict(images, verbose=0), function(images)):
    for name, value in masked.items():
      np.testing.assert_allclose(received[name], value, rtol=1e-4, atol=1e-4)


def test_new_gate_is_learned_and_named_in_errors(model):
  del model
  assert gate_kinds.is_learned("contrast")
  assert not gate_kinds.is_learned("stochastic_depth")
  assert not gate_kinds.is_learned("none")


def test_class_is_taken_where_a_name_is(contrast_gate):
  model = pgates.CifarResNet(8, gate=contrast_gate, always_open=[1])
  kinds = [type(block.gate) for block in pgates.gated_blocks(model)]
  assert kinds == [contrast_gate, type(None), contrast_gate]


@pytest.fixture(name="first")
def _first(monkeypatch):
  kind = _example("Add a strategy")["First"]
  monkeypatch.setitem(strategies.KINDS, "first", kind)
  return kind


def test_new_strategy_is_read_and_drops_blocks(first):
  model = pgates.CifarResNet(14, input_shape=(8, 8, 3))
  strategy = pgates.parse_strategy("first:4")
  assert isinstance(strategy, first) and str(strategy) == "first:4"
  left = pgates.with_strategy(model, "first:4", execution="routed")
  branches = [block.branch for block in pgates.gated_blocks(left)]
  assert [b is not None for b in branches] == [1, 1, 1, 1, 0, 0]
  expected = pgates.prune(model, [4, 5], always_open=range(4))
  np.testing.assert_array_equal(
      left.predict(_images(), verbose=0)["logits"],
      expected.predict(_images(), verbose=0)["logits"],
  )
  with pytest.raises(ValueError, match="whole number from 1 behind 'first:'"):
    pgates.parse_strategy("first:0")


def test_new_strategy_is_exported_with_fixed_gating(first):
  del first
  strategy = pgates.parse_strategy("first:1")
  fixed = variants.Variant("fixed", "tflite")
  variants.check_strategy(fixed, strategy)
  model = pgates.CifarResNet(8, input_shape=(8, 8, 3))
  decided = dropped_blocks.decide(model, strategy, "fixed", None)
  assert [b.branch is not None for b in pgates.gated_blocks(decided.model)] == [
      *(True, False, False)
  ]
  with pytest.raises(ValueError, match="drops blocks for all inputs"):
    variants.check_strategy(variants.Variant("dynamic", "tflite"), strategy)
