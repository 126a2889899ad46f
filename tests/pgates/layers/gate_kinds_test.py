"""Tests of `pgates.layers.gate_kinds`."""

import numpy as np
import pytest

import pgates
from pgates.layers import gate_kinds
from pgates.layers import gates

_SETTINGS = gates.GateSettings(
    temperature=0.5, initial_probability=0.3, synchronized=True
)


def test_every_public_kind_has_a_name_that_networks_take():
  public = {
      value
      for name in pgates.__all__
      if isinstance(value := getattr(pgates, name), type)
      and issubclass(value, pgates.Gate)
  }
  # One that reads the answer of a network is no gate of a network's blocks.
  fitting = {kind for kind in public if not kind.reads_shortcut}
  assert set(gate_kinds.KINDS.values()) == fitting - {pgates.Gate}
  for name in gate_kinds.NAMES:
    model = pgates.CifarResNet(8, gate=name, input_shape=(8, 8, 3))
    expected = gate_kinds.KINDS.get(name, type(None))
    for block in pgates.gated_blocks(model):
      assert type(block.gate) is expected


@pytest.mark.parametrize("name", gate_kinds.KINDS)
def test_kind_takes_the_settings_that_mean_something_to_it(name):
  gate = gate_kinds.factory(name, _SETTINGS)(1, 4)
  assert gate.name == "gate" and gate.temperature == 0.5
  assert getattr(gate, "initial_probability", 0.3) == 0.3
  assert getattr(gate, "synchronized", True)
  plain = gate_kinds.factory(name)(1, 4)
  assert plain.temperature == 1.0


def test_survival_decays_linearly_to_one_half():
  make = gate_kinds.factory("stochastic_depth")
  found = [make(i, 4).survival_probability for i in range(4)]
  np.testing.assert_allclose(found, [0.875, 0.75, 0.625, 0.5])


@pytest.mark.parametrize("name", gate_kinds.KINDS)
def test_kind_that_learns_has_something_to_train(name):
  gate = gate_kinds.factory(name)(0, 4)
  gate.build((None, 4, 4, 3))
  assert gate_kinds.is_learned(name) == bool(gate.trainable_variables)


def test_factory_of_ones_own_is_taken_as_it_is():
  def make(index, num_blocks):
    del index, num_blocks
    return None

  assert gate_kinds.factory(make, _SETTINGS) is make


@pytest.mark.parametrize("kind", ["dependant", None, 3])
def test_unknown_kind_is_refused_by_name(kind):
  with pytest.raises(ValueError, match="'dependent'.*pgates.Gate.*Received"):
    gate_kinds.factory(kind)


def test_gates_of_a_network_know_their_places_and_leave_out_the_open_blocks():
  made = gate_kinds.make_gates(
      "stochastic_depth", 4, settings=_SETTINGS, always_open=[2]
  )
  assert made[2] is None
  found = [made[i].survival_probability for i in (0, 1, 3)]
  np.testing.assert_allclose(found, [0.875, 0.75, 0.5])
  assert made[0].temperature == 0.5
  with pytest.raises(ValueError, match=r"0 to 3. Received: \[-1, 4\]"):
    gate_kinds.make_gates("dependent", 4, always_open=[-1, 3, 4])
