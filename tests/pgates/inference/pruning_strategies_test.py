"""Tests of pgates/inference/pruning_strategies.py."""

import numpy as np
import pytest

import pgates
from tests.helpers import parameters
from tests.helpers import toys


def kept_blocks(model):
  return [b.branch is not None for b in pgates.gated_blocks(model)]


@pytest.mark.parametrize(
    "strategy, kept",
    parameters.slow_after(
        2,
        [
            ("prune:0.5", [0, 1, 0, 1, 1, 1]),
            # All rates are 0 or 1: the probability breaks the tie.
            ("top_k:5", [1, 1, 0, 1, 1, 1]),
            ("prune:0", [1, 1, 1, 1, 1, 1]),
            ("top_k:0", [0, 0, 0, 0, 0, 0]),
            ("top_k:1", [0, 0, 0, 0, 0, 1]),
            ("top_k:4", [0, 1, 0, 1, 1, 1]),
        ],
    ),
)
def test_transformation_keeps_the_blocks_open_most_often(strategy, kept):
  gates = [toys.independent(v) for v in (-1, 3, -2, 0.5, 1)]
  model = toys.make_model([*gates, None])
  derived = pgates.with_strategy(
      model, strategy, validation_data=toys.batches()
  )
  assert kept_blocks(derived) == [bool(k) for k in kept]
  assert all(b.gate is None for b in pgates.gated_blocks(derived))
  np.testing.assert_array_equal(derived(toys.examples())["gates"], [kept] * 9)


@pytest.mark.parametrize(
    "above", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_prune_drops_blocks_open_less_than_the_rate(above):
  model = toys.make_model([toys.dependent(i) for i in range(4)])
  rates = np.mean(toys.oracle(model, toys.examples(16), "map")["gates"], axis=0)
  second = float(np.sort(rates)[1])
  assert np.sort(rates)[0] < second
  # A block open for exactly the rate stays.
  rate = np.nextafter(second, 1) if above else second
  derived = pgates.with_strategy(
      model, f"prune:{float(rate)!r}", validation_data=toys.batches(16)
  )
  expected = rates > second if above else rates >= second
  assert kept_blocks(derived) == expected.tolist()


def test_more_blocks_than_there_are_is_refused():
  with pytest.raises(ValueError, match="'top_k:6'.*5 blocks"):
    pgates.with_strategy(
        toys.mixed_model(), "top_k:6", validation_data=toys.batches()
    )
