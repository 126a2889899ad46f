"""Tests of pgates/residuals/dominators.py."""

import numpy as np
import pytest

from pgates.residuals import dominators


def _reachable(predecessors, without):
  """The nodes that are reached from a source without passing one node."""
  found = set()
  for node, before in enumerate(predecessors):
    if node != without and (not before or found & set(before)):
      found.add(node)
  return found


def _oracle(predecessors):
  """By their definition: what cannot be reached once a node is taken away."""
  strict = [
      {
          other
          for other in range(node)
          if node not in _reachable(predecessors, other)
      }
      for node in range(len(predecessors))
  ]
  # The nearest is the one that all others dominate.
  return [
      max(found, key=lambda d: len(strict[d]), default=None) for found in strict
  ]


@pytest.mark.parametrize(
    "predecessors, expected",
    [
        ([[]], [None]),
        ([[], [0], [0, 1]], [None, 0, 0]),
        ([[], [0], [1], [1], [2, 3], [4, 0]], [None, 0, 1, 1, 1, 0]),
        ([[], [], [0, 1], [2]], [None, None, None, 2]),
        ([[], [0, 0]], [None, 0]),
    ],
)
def test_small_graphs_by_hand(predecessors, expected):
  assert dominators.immediate_dominators(predecessors) == expected
  assert _oracle(predecessors) == expected


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs_are_as_by_definition(seed):
  rng = np.random.default_rng(seed)
  predecessors = [[]]
  for node in range(1, 14):
    # Rarely another source.
    count = min(node, rng.choice([0, 1, 1, 1, 2, 2, 3]))
    near = range(max(0, node - 4), node)
    chosen = rng.choice(near, min(count, len(near)), replace=False)
    predecessors.append(chosen.tolist())
  received = dominators.immediate_dominators(predecessors)
  assert received == _oracle(predecessors)
