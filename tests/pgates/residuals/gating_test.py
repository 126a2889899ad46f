"""Tests of pgates/residuals/gating.py.

The oracle of a closed gate is the network without that branch, made by hand
with Keras's `clone_model`; that of all gates open is the network itself.
"""

import time

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import residual_networks as networks

layers = keras.layers


ALL = {**networks.QUICK, **networks.SLOW}
EACH = [
    *networks.QUICK,
    *(pytest.param(n, marks=pytest.mark.slow) for n in networks.SLOW),
]


@pytest.fixture(name="network", scope="module", params=EACH)
def _network(request):
  """(given network, gated network, images, place of each shortcut)."""
  make, places = ALL[request.param]
  model = make()
  start = time.monotonic()
  gated = pgates.gate_residuals(model, min_share=0)
  assert time.monotonic() - start < 30
  names = [block.name for block in pgates.gated_blocks(gated)]
  if not isinstance(places, dict):
    places = dict.fromkeys(names, places)
  assert list(places) == names
  return model, gated, networks.images_of(model), places


def _predicted(model, images):
  return keras.tree.map_structure(np.asarray, model(images, training=False))


def test_all_open_is_the_given_network_bit_for_bit(network):
  model, gated, images, places = network
  expected = _predicted(model, images)
  opened = _predicted(pgates.with_strategy(gated, "always_open"), images)
  assert np.ptp(expected) > 1e-3
  np.testing.assert_array_equal(networks.result_of(gated, opened), expected)
  assert opened["gates"].shape == (len(images), len(places))


def test_closed_gate_is_the_network_without_that_branch(network):
  model, gated, images, places = network
  chosen = list(places)
  if len(chosen) > 8:  # Of the many, the first, the last and some between.
    chosen = chosen[:: len(chosen) // 4 + 1] + chosen[-1:]
  for name in chosen:
    index = list(places).index(name)
    pruned = pgates.prune(
        gated, [index], always_open=set(range(len(places))) - {index}
    )
    received = networks.result_of(gated, _predicted(pruned, images))
    by_hand = networks.without(model, name, places[name])
    expected = _predicted(by_hand, images)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
    whole = _predicted(model, images)
    assert np.max(np.abs(whole - expected)) > 1e-4


@pytest.fixture(name="spread_network")
def _spread_network(network):
  """Gates that differ between images; then as they were."""
  _, gated, images, _ = network
  weights = gated.get_weights()
  networks.spread(gated, images)
  yield gated, images
  gated.set_weights(weights)


def test_routed_is_masked(spread_network):
  gated, images = spread_network
  masked = _predicted(pgates.with_strategy(gated, "map"), images)
  routed = _predicted(
      pgates.with_strategy(gated, "map", execution="routed"), images
  )
  assert 0.2 < masked["gates"].mean() < 0.8
  np.testing.assert_array_equal(routed["gates"], masked["gates"])
  np.testing.assert_allclose(
      networks.result_of(gated, routed),
      networks.result_of(gated, masked),
      rtol=1e-4,
      atol=1e-5,
  )


def test_every_gate_has_a_finite_gradient(network):
  _, gated, images, places = network
  value, found = networks.gradients(gated, images, np.arange(len(images)))
  assert np.isfinite(value) and len(found) == len(places)
  for name, gradients in zip(places, found, strict=True):
    assert all(np.all(np.isfinite(each)) for each in gradients), name
    assert any(np.any(np.asarray(each) != 0) for each in gradients), name


def test_layers_and_weights_are_shared(network):
  model, gated, _, _ = network
  own = {id(v) for v in gated.variables}
  gates = {
      id(v)
      for block in pgates.gated_blocks(gated)
      for v in block.gate.variables
  }
  random = {id(v) for v in model.variables if "seed" in v.path}
  assert {id(v) for v in model.variables} - random == own - gates - random


@pytest.fixture(name="toy")
def _toy():
  return networks.toy()


def test_inputs_outputs_and_names_are_kept(toy):
  gated = pgates.gate_residuals(toy)
  assert type(gated) is pgates.GatedModel and gated.name == "toy"
  assert [each.name for each in gated.inputs] == ["photos"]
  assert gated.inputs[0].shape == (None, 8, 8, 3)
  assert list(gated.output) == ["logits", "classes", "gates", "gate_logits"]
  outputs = gated(networks.images_of(toy))
  np.testing.assert_allclose(
      outputs["classes"], keras.ops.softmax(outputs["logits"]), rtol=1e-6
  )
  assert np.any(np.asarray(outputs["logits"]) < 0)


def test_gates_start_open_and_are_of_the_class_that_is_given(toy):
  images = networks.images_of(toy)
  for kind in (pgates.DataDependentGate, pgates.DataIndependentGate):
    gated = pgates.gate_residuals(toy, gate=kind)
    blocks = pgates.gated_blocks(gated)
    assert [type(block.gate) for block in blocks] == 4 * [kind]
    logits = np.asarray(gated(images, training=False)["gate_logits"])
    np.testing.assert_allclose(logits, np.log(0.95 / 0.05), atol=0.1)
    assert np.all(gated(images, training=False)["gates"] == 1)
  gated = pgates.gate_residuals(
      toy, gate="independent", initial_probability=0.25
  )
  logits = gated(images, training=False)["gate_logits"]
  np.testing.assert_allclose(logits, np.log(0.25 / 0.75), atol=1e-5)


def test_gate_may_be_made_for_each_block(toy):
  seen = []

  def gate(residual):
    seen.append(residual)
    if residual.kind == "identity":
      return pgates.DataIndependentGate()
    return None

  gated = pgates.gate_residuals(toy, gate=gate, min_share=0)
  assert tuple(seen) == pgates.find_residuals(toy).rows
  assert [block.name for block in pgates.gated_blocks(gated)] == ["a", "c"]


def test_blocks_without_gates_are_the_network_itself(toy, tmp_path):
  images = networks.images_of(toy)
  plain = pgates.gate_residuals(toy, gate="none")
  blocks = pgates.gated_blocks(plain)
  assert [block.gate for block in blocks] == 4 * [None]
  assert [block.name for block in blocks] == ["a", "b", "c", "d"]
  plain.save(tmp_path / "plain.keras")
  for each in (
      plain,
      pgates.load_model(tmp_path / "plain.keras"),
      pgates.with_strategy(plain, "map"),
      pgates.with_strategy(plain, "always_open", execution="routed"),
  ):
    outputs = _predicted(each, images)
    np.testing.assert_array_equal(outputs["classes"], _predicted(toy, images))
    np.testing.assert_array_equal(outputs["gates"], np.ones((len(images), 4)))
  assert plain.macs.dense == pgates.find_residuals(toy).macs
  # Of the name that our ResNets have for it, and no other.
  with pytest.raises(ValueError, match="`gate` must be one of.*'None'"):
    pgates.gate_residuals(toy, gate="None")


def _gated_names(model, **kwargs):
  gated = pgates.gate_residuals(model, **kwargs)
  return [block.name for block in pgates.gated_blocks(gated)]


def test_blocks_are_chosen_by_name_share_and_kind(toy):
  found = pgates.find_residuals(toy)
  assert _gated_names(toy, min_share=0) == ["a", "b", "c", "d"]
  assert _gated_names(toy, min_share=0, skip=["c", "a"]) == ["b", "d"]
  shares = {row.name: row.share for row in found}
  smallest = min(shares, key=shares.get)
  assert smallest not in _gated_names(toy, min_share=shares[smallest] + 1e-9)
  assert smallest in _gated_names(toy, min_share=shares[smallest])
  projections = _gated_names(
      toy, min_share=0, select=lambda residual: residual.kind == "projection"
  )
  assert projections == ["b"]


def test_a_traced_network_is_the_given_one_too(toy):
  images = networks.images_of(toy)
  gated = pgates.gate_residuals(toy)
  opened = pgates.with_strategy(gated, "always_open")
  np.testing.assert_array_equal(
      opened.predict(images, verbose=0)["classes"],
      toy.predict(images, verbose=0),
  )


def test_what_is_left_out_stays_as_it_was(toy):
  images = networks.images_of(toy)
  gated = pgates.gate_residuals(toy, skip=["a", "d"])
  opened = pgates.with_strategy(gated, "always_open")
  np.testing.assert_array_equal(
      networks.result_of(gated, _predicted(opened, images)),
      _predicted(toy, images),
  )
  assert gated.get_layer("d") is toy.get_layer("d")
  assert gated.get_layer("a1") is toy.get_layer("a1")


def test_multiply_adds_are_those_of_the_network_and_the_gates(toy):
  found = pgates.find_residuals(toy)
  gated = pgates.gate_residuals(toy)
  macs = gated.macs
  assert macs.names == tuple(row.name for row in found)
  assert macs.branches == tuple(row.macs for row in found)
  assert macs.dense - sum(macs.gates) == found.macs
  assert macs.fixed == found.macs - sum(row.macs for row in found)


def test_it_trains_saves_and_loads(toy, tmp_path):
  gated = pgates.gate_residuals(toy)
  # To trace it would take longer.
  gated.compile(
      "adam",
      rate_loss=pgates.TargetRateLoss(0.6, share="macs"),
      run_eagerly=True,
  )
  images = networks.images_of(toy, 12)
  before = [np.copy(v) for v in toy.trainable_variables]
  gated.fit(images, np.arange(12) % 10, batch_size=6, verbose=0)
  # The given network has learned too.
  assert all(
      np.any(old != np.asarray(new))
      for old, new in zip(before, toy.trainable_variables, strict=True)
      if "a1" in new.path
  )
  gated.save(tmp_path / "gated.keras")
  again = pgates.load_model(tmp_path / "gated.keras")
  expected = _predicted(gated, images)
  for name, value in _predicted(again, images).items():
    np.testing.assert_array_equal(value, expected[name], err_msg=name)
  clone = keras.models.clone_model(gated)
  gated.save_weights(tmp_path / "gated.weights.h5")
  clone.load_weights(tmp_path / "gated.weights.h5")
  for name, value in clone(images, training=False).items():
    np.testing.assert_allclose(
        value, expected[name], rtol=1e-5, atol=1e-6, err_msg=name
    )


def test_weights_may_be_loaded_before_or_after(toy, tmp_path):
  images = networks.images_of(toy)
  expected = _predicted(toy, images)
  toy.save_weights(tmp_path / "toy.weights.h5")
  other = networks.toy()
  for variable in other.trainable_variables:
    variable.assign(variable + 0.1)
  gated = pgates.gate_residuals(other)
  opened = pgates.with_strategy(gated, "always_open")
  assert np.any(
      networks.result_of(gated, _predicted(opened, images)) != expected
  )
  other.load_weights(tmp_path / "toy.weights.h5")
  np.testing.assert_array_equal(
      networks.result_of(gated, _predicted(opened, images)), expected
  )


_QUICK = ("map", "prune:0.5")


@pytest.mark.parametrize(
    "strategy",
    [
        *_QUICK,
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in pgates.STRATEGY_EXAMPLES
            if each not in _QUICK
        ),
    ],
)
def test_every_strategy_takes_it(toy, strategy):
  gated = pgates.gate_residuals(toy, min_share=0)
  images = networks.images_of(toy, 8)
  networks.spread(gated, images)
  data = keras.utils.timeseries_dataset_from_array(
      images, np.arange(8) % 10, 1, batch_size=4
  ).map(lambda x, y: (x[:, 0], y))
  strategy = strategy.replace("top_k:6", "top_k:3")
  decided = pgates.with_strategy(gated, strategy, validation_data=data)
  outputs = decided(images, training=False)
  assert np.all(np.isfinite(outputs["logits"]))
  columns = 4 * pgates.parse_strategy(strategy).num_passes
  assert outputs["gates"].shape == (8, columns)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_share_that_is_none_is_an_error(toy, share):
  with pytest.raises(ValueError, match=f"`min_share` must.*: {share}"):
    pgates.gate_residuals(toy, min_share=share)


def test_nothing_left_is_an_error_with_what_was_found(toy):
  with pytest.raises(
      ValueError, match="toy is gated: `select`(.|\n)*4 of 4 gat"
  ):
    pgates.gate_residuals(toy, min_share=0.99)
  with pytest.raises(ValueError, match="toy is gated: `gate` made no gate"):
    pgates.gate_residuals(toy, gate=lambda residual: None)
  with pytest.raises(
      ValueError, match=r"names no block: \['stem'\](.|\n)*pool"
  ):
    pgates.gate_residuals(toy, skip=["stem"])


def test_network_that_concatenates_is_an_error_that_says_so():
  x = keras.Input((8, 8, 3))
  y = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same")(x)])
  with pytest.raises(ValueError, match="DenseNet(.|\n)*0 of 0 gateable"):
    pgates.gate_residuals(keras.Model(x, y))
