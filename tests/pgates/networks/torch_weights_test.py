"""Tests of pgates/networks/torch_weights.py."""

import pathlib
import re

import numpy as np
import pytest

import pgates
from tests.helpers import torch_states

GOLDEN = pathlib.Path(__file__).parent / "data" / "aig_cifar_resnet14.npz"


def read_golden():
  with np.load(GOLDEN) as golden:
    arrays = dict(golden)
  prefix = "state/"
  state = {
      name.removeprefix(prefix): value
      for name, value in arrays.items()
      if name.startswith(prefix)
  }
  return arrays, state


def make(network, shape, **kwargs):
  depth = (8,) if network is pgates.CifarResNet else ()
  return network(
      *depth, num_classes=5, normalization=None, input_shape=shape, **kwargs
  )


@pytest.fixture(name="fresh", scope="module")
def fixture_fresh():
  """An 8-layer gated network, its first weights, and a state that fits it."""
  state = torch_states.random_state(
      torch_states.LAYOUTS[pgates.CifarResNet], gates=True
  )
  model = make(pgates.CifarResNet, (8, 8, 3))
  return model, model.get_weights(), state


@pytest.fixture(name="small")
def fixture_small(fresh):
  """The network as it was at first, and a state to be changed."""
  model, weights, state = fresh
  model.set_weights(weights)
  return model, dict(state)


def test_golden_network_decides_and_classifies_as_the_reference():
  arrays, state = read_golden()
  model = pgates.CifarResNet(14, normalization=None)
  pgates.load_torch_state(model, state)
  outputs = model.predict(arrays["images_nhwc"], verbose=0)
  assert 0 < np.mean(arrays["gates"]) < 1
  np.testing.assert_array_equal(outputs["gates"], arrays["gates"])
  np.testing.assert_allclose(outputs["logits"], arrays["logits"], atol=1e-4)
  np.testing.assert_allclose(
      outputs["gate_logits"], arrays["gate_logit_difference"], atol=1e-4
  )


@pytest.mark.parametrize(
    "network",
    [pgates.ResNet18, pytest.param(pgates.ResNet50, marks=pytest.mark.slow)],
)
def test_ungated_torchvision_state_gives_the_same_logits(network):
  state = torch_states.random_state(torch_states.LAYOUTS[network])
  model = make(network, torch_states.LARGE, gate="none")
  pgates.load_torch_state(model, torch_states.rename(state, prefix="module."))
  x = torch_states.normalised_images(torch_states.LARGE)
  expected, _ = torch_states.forward(state, x)
  assert np.std(expected, axis=0).min() > 0.01  # Tells images apart.
  received = model(x)["logits"]
  np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("names", "matrices"),
    [
        pytest.param("torchvision", False, marks=pytest.mark.slow),
        pytest.param("torchvision", True, marks=pytest.mark.slow),
        ("aig", False),
        pytest.param("aig", True, marks=pytest.mark.slow),
    ],
)
def test_gated_bottleneck_state_gives_the_same_gates(names, matrices):
  state = torch_states.random_state(
      torch_states.LAYOUTS[pgates.ResNet50], gates=True
  )
  loaded = torch_states.aig_names(state, "module.") if names == "aig" else state
  if matrices:
    loaded = {
        name: np.squeeze(value, (2, 3))
        if re.search(r"\.fc\d\.weight", name)
        else value
        for name, value in loaded.items()
    }
  model = make(pgates.ResNet50, torch_states.LARGE)
  pgates.load_torch_state(model, loaded)
  x = torch_states.normalised_images(torch_states.LARGE)
  logits, gate_logits = torch_states.forward(state, x)
  # Every gate is clear, and not all are of one mind.
  assert np.abs(gate_logits).min() > 1e-4
  assert 0.2 < np.mean(gate_logits > 0) < 0.8
  outputs = model(x)
  np.testing.assert_array_equal(outputs["gates"], gate_logits > 0)
  np.testing.assert_allclose(outputs["gate_logits"], gate_logits, atol=1e-4)
  np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gate", ["dependent", "independent"])
def test_ungated_state_fits_a_network_with_fresh_gates(gate):
  state = torch_states.random_state(torch_states.LAYOUTS[pgates.CifarResNet])
  model = make(pgates.CifarResNet, (8, 8, 3), gate=gate)
  gates = [b.gate.get_weights() for b in pgates.gated_blocks(model)]
  pgates.load_torch_state(model, state, fresh_gates=True)
  for block, before in zip(pgates.gated_blocks(model), gates, strict=True):
    for value, old in zip(block.gate.get_weights(), before, strict=True):
      np.testing.assert_array_equal(value, old)
  x = torch_states.normalised_images((8, 8, 3))
  received = pgates.with_strategy(model, "always_open")(x)["logits"]
  np.testing.assert_allclose(
      received, torch_states.forward(state, x)[0], atol=1e-5
  )


def test_blocks_without_a_gate_take_no_gate_weights(small):
  _, state = small
  model = make(pgates.CifarResNet, (8, 8, 3), always_open=(1,))
  with pytest.raises(ValueError, match=r"Unknown.*layer2\.0\.fc1\.bias"):
    pgates.load_torch_state(model, state)
  rest = {k: v for k, v in state.items() if not k.startswith("layer2.0.fc")}
  pgates.load_torch_state(model, rest)
  x = torch_states.normalised_images((8, 8, 3))
  expected, gate_logits = torch_states.forward(rest, x)
  outputs = model(x)
  np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)
  np.testing.assert_allclose(
      np.asarray(outputs["gate_logits"])[:, [0, 2]], gate_logits, atol=1e-5
  )


def assert_refused(model, state, match, **kwargs):
  before = model.get_weights()
  with pytest.raises(ValueError, match=match):
    pgates.load_torch_state(model, state, **kwargs)
  for value, old in zip(model.get_weights(), before, strict=True):
    np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize(
    "name",
    [
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv2.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer3.0.fc1bn.running_mean",
        "layer3.0.fc2.bias",
        "fc.weight",
    ],
)
def test_missing_entry_is_named(small, name):
  model, state = small
  del state[name]
  assert_refused(model, state, f"Missing entries: .*{re.escape(name)}")
  (renamed,) = torch_states.aig_names({name: 0})
  assert_refused(
      model,
      torch_states.aig_names(state),
      f"Missing entries: .*{re.escape(renamed)}",
  )


@pytest.mark.parametrize(
    "name",
    [
        "layer1.0.conv3.weight",
        "layer1.1.conv1.weight",
        "layer4.0.conv1.weight",
        "layer1.0.downsample.0.weight",
        "head.bias",
    ],
)
def test_unknown_entry_is_named(small, name):
  model, state = small
  state[name] = np.zeros(3, np.float32)
  assert_refused(model, state, f"Unknown entries: {re.escape(name)}")


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: name.replace("layer2.", "layer2._orig_mod."),
    ],
)
def test_names_of_compiled_networks_are_read(small, wrapped):
  model, state = small
  state = {name: value + 1 for name, value in state.items()}
  pgates.load_torch_state(model, {wrapped(k): v for k, v in state.items()})
  block = pgates.gated_blocks(model)[1]
  np.testing.assert_array_equal(
      block.gate.hidden.bias, state["layer2.0.fc1.bias"]
  )
  np.testing.assert_array_equal(
      model.get_layer("classifier").bias, state["fc.bias"]
  )


def test_fresh_gates_are_advised_only_for_weights_without_gates(small):
  model, state = small
  del state["layer1.0.fc1.bias"]
  with pytest.raises(ValueError, match="Missing") as error:
    pgates.load_torch_state(model, state)
  assert "fresh_gates" not in str(error.value)


def test_second_name_for_one_entry_is_refused(small):
  model, state = small
  state["linear.bias"] = 1 + state["fc.bias"]
  assert_refused(model, state, r"Unknown entries: fc\.bias")


@pytest.mark.parametrize(
    "name, change",
    [
        ("conv1.weight", lambda v: v.transpose(2, 3, 1, 0)),
        ("conv1.weight", lambda v: v[..., 0]),
        ("layer1.0.conv1.weight", lambda v: v[:, :, :2, :2]),
        ("layer2.0.downsample.0.weight", lambda v: v.transpose(1, 0, 2, 3)),
        ("layer2.0.downsample.1.bias", lambda v: v[:1]),
        ("bn1.running_mean", lambda v: v[None]),
        ("layer3.0.fc1.weight", lambda v: v.transpose(1, 0, 2, 3)),
        ("layer3.0.fc1.weight", lambda v: v[:, :, 0, 0].T),
        ("layer3.0.fc1.weight", lambda v: np.tile(v, (1, 1, 3, 3))),
        ("layer2.0.fc2.weight", lambda v: v[:, :, 0, 0].T),
        ("layer2.0.fc2.weight", lambda v: v[:1]),
        ("layer2.0.fc2.weight", lambda v: v[:, 0, 0, 0]),
        ("layer2.0.fc2.bias", lambda v: v[:1]),
        ("layer2.0.fc2.bias", lambda v: v[0]),
        ("fc.weight", lambda v: v.T),
        ("fc.bias", lambda v: v[:-1]),
    ],
)
def test_wrongly_shaped_entry_is_named(small, name, change):
  model, state = small
  state[name] = change(state[name])
  shape = re.escape(str(state[name].shape))
  assert_refused(model, state, f"{re.escape(name)} has shape {shape}")


def test_ungated_state_needs_fresh_gates(small):
  model, _ = small
  state = torch_states.random_state(torch_states.LAYOUTS[pgates.CifarResNet])
  assert_refused(model, state, r"layer1\.0\.fc1.*fresh_gates=True")


def test_gate_entries_do_not_fit_other_gates(small):
  _, state = small
  model = make(pgates.CifarResNet, (8, 8, 3), gate="independent")
  assert_refused(model, state, "DataIndependentGate.*fresh_gates=True")
  assert_refused(model, state, r"layer1\.0\.fc1", fresh_gates=True)
