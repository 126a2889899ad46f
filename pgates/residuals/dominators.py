"""Dominators: what every way through a graph passes."""

from collections.abc import Sequence


def immediate_dominators(
    predecessors: Sequence[Sequence[int]],
) -> list[int | None]:
  """The nearest node that every way from a source to a node passes.

  Args:
    predecessors: of each node; all have smaller numbers than the node itself.
      Nodes without any are sources.

  Returns:
    For each node the nearest other one that is on all ways to it from any
    source; None where there is none.

  References:
    Cooper, Harvey and Kennedy, A Simple, Fast Dominance Algorithm, 2001; on a
    graph without cycles one pass is enough.
  """
  root = -1
  dominators, depths = {}, {root: 0}
  for node, before in enumerate(predecessors):
    nearest = None
    for other in before or [root]:
      while nearest is not None and nearest != other:
        if depths[nearest] >= depths[other]:
          nearest = dominators[nearest]
        else:
          other = dominators[other]
      nearest = other
    dominators[node] = nearest
    depths[node] = depths[nearest] + 1
  found = [dominators[node] for node in range(len(predecessors))]
  return [None if each == root else each for each in found]
