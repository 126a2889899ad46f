"""Tests of pgates/inference/block_rates.py."""

import keras
import numpy as np
import pytest

import pgates
from pgates.inference import block_rates
from tests.helpers import toys


@pytest.fixture(name="model", scope="module")
def _model():
  return toys.make_model([toys.dependent(i) for i in range(4)])


@pytest.fixture(name="shares", scope="module")
def _shares(model):
  return toys.oracle(model, toys.examples(16), "map")["gates"].mean(axis=0)


def _indices(mask):
  return set(np.flatnonzero(mask).tolist())


def test_blocks_are_chosen_by_the_share_of_examples_they_run_for(model, shares):
  rates = block_rates.BlockRates(model, "map", toys.batches(16))
  assert len({*shares.tolist()}) > 2
  for share in (0.0, *shares.tolist(), 1.0):
    assert rates.at_least(share) == _indices(shares >= share)
    assert rates.at_most(share) == _indices(shares <= share)
  order = np.argsort(-shares, kind="stable").tolist()
  for count in range(5):
    chosen = rates.highest(count)
    assert len(chosen) == count
    if count:
      assert min(shares[list(chosen)]) == shares[order[count - 1]]


def test_rates_are_those_of_the_rule(model):
  rule = "threshold:0.8"
  expected = toys.oracle(model, toys.examples(16), rule)["gates"].mean(axis=0)
  rates = block_rates.BlockRates(model, rule, toys.batches(16))
  for share in expected.tolist():
    assert rates.at_least(share) == _indices(expected >= share)


def test_equal_rates_are_ordered_by_probability():
  gates = [toys.independent(logit) for logit in (1.0, 3.0, 2.0)]
  rates = block_rates.BlockRates(toys.make_model(gates), "map", toys.batches())
  assert [rates.highest(n) for n in (1, 2)] == [{1}, {1, 2}]
  with pytest.raises(ValueError, match="'top_k:4'.*the model's 3 blocks"):
    rates.highest(4)


def test_block_that_is_called_twice_has_one_rate_for_both_columns():
  shared = toys.block(toys.dependent(0))
  inputs = x = keras.Input((toys.FEATURES,))
  decisions = []
  for layer in (shared, shared, toys.block(toys.independent(-1.0), 1)):
    x, *decision = layer(x)
    decisions.append(decision)
  outputs = pgates.gated_outputs(x, *zip(*decisions, strict=True))
  model = pgates.GatedModel(inputs, outputs)
  data = toys.batches(16)
  columns, _ = pgates.measure_gates(model, data)
  first, second, _ = np.asarray(columns).tolist()
  assert first != second
  rates = block_rates.BlockRates(model, "map", data)
  mean = (first + second) / 2
  assert rates.at_least(mean - 1e-6) == {0, 1}
  assert rates.at_least(mean + 1e-6) == set()
  assert rates.at_most(mean - 1e-6) == {2}


def test_kept_blocks_lose_their_gates_and_the_others_their_branches(model):
  kept = block_rates.keep_only(model, [1, 3])
  blocks = pgates.gated_blocks(kept)
  assert [b.branch is not None for b in blocks] == [False, True, False, True]
  assert all(block.gate is None for block in blocks)
  gates = kept(toys.examples())["gates"]
  np.testing.assert_array_equal(gates, [[0, 1, 0, 1]] * 9)
