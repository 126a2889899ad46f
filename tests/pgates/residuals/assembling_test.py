"""Tests of pgates/residuals/assembling.py; more are in gating_test.py."""

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import residual_networks as networks

layers = keras.layers


def _branch_layers(gated, index):
  branch = pgates.gated_blocks(gated)[index].branch
  return [layer.name for layer in branch.layers]


def test_stochastic_depth_goes_where_a_gate_takes_over_unless_it_is_to_stay():
  toy = networks.toy()
  assert "drop" not in _branch_layers(pgates.gate_residuals(toy), 0)
  kept = pgates.gate_residuals(toy, keep_stochastic_depth=True)
  assert "drop" in _branch_layers(kept, 0)
  # An ordinary dropout is not what a gate does.
  assert "dropout" in _branch_layers(pgates.gate_residuals(toy), 2)
  # Nor does a block without a gate.
  plain = pgates.gate_residuals(toy, gate="none")
  assert "drop" in _branch_layers(plain, 0)
  rows = pgates.find_residuals(toy)
  assert rows[0].replaces == ("drop",) and rows[2].replaces == ()
  assert "yes, in place of drop" in str(rows)


def _tower(x, name, branches, after):
  """Blocks with branches of so many layers, and some layers after them."""
  y = layers.Dense(6, name=f"{name}_stem")(x)
  for i, length in enumerate(branches):
    hidden = y
    for j in range(length):
      hidden = layers.Dense(6, name=f"{name}{i}_{j}")(hidden)
    y = layers.Add(name=f"{name}{i}")([y, hidden])
  for i in range(after):
    y = layers.Dense(6, name=f"{name}_after{i}")(y)
  return y


@pytest.mark.parametrize(
    "towers",
    [
        {"b": ([2, 2], 0), "a": ([2, 2], 0)},
        # A block counts as one layer, so that the second tower comes first.
        {"a": ([1, 6], 0), "b": ([1], 3)},
    ],
)
def test_blocks_side_by_side_have_columns_in_the_order_of_calls(towers):
  x = keras.Input((6,))
  ends = [_tower(x, name, *shape) for name, shape in towers.items()]
  model = keras.Model(x, layers.Dense(3)(layers.Concatenate()(ends)))
  gated = pgates.gate_residuals(model, gate="independent", min_share=0)
  names = gated.macs.names
  assert len(names) == sum(len(blocks) for blocks, _ in towers.values())
  for i, name in enumerate(names):
    for block in pgates.gated_blocks(gated):
      block.gate.logit.assign(-5.0 if block.name == name else 5.0)
    gates = np.asarray(gated(np.ones((2, 6)), training=False)["gates"])
    expected = np.ones((2, len(names)))
    expected[:, i] = 0
    np.testing.assert_array_equal(gates, expected)
