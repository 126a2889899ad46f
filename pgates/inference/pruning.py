"""Static pruning: blocks that never run leave the graph, weights and all."""

from collections.abc import Iterable

import keras

from pgates import graphs
from pgates import renames


@renames.renamed(closed="dropped", opened="always_open")
def prune(
    model: keras.Model,
    dropped: Iterable[int],
    *,
    always_open: Iterable[int] = (),
) -> keras.Model:
  """A smaller model without some of the branches.

  A dropped block leaves its shortcut (for the first block of a stage, the
  projection) and its activation. The other layers are shared with `model`.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    dropped: indices of the blocks to drop; their column of `gates` is 0.
    always_open: indices of blocks to run always: their gate is dropped, their
      column of `gates` is 1.

  Returns:
    A model of the same class as `model`, not compiled. It holds neither the
    dropped branches nor the dropped gates.

  Raises:
    ValueError: if an index is not that of a column, or in both lists; or if a
      block that is called several times is only in part in one of them.
  """
  found = graphs.gated_calls(model)
  dropped, always_open = set(dropped), set(always_open)
  chosen = dropped | always_open
  outside = [i for i in chosen if not 0 <= i < len(found)]
  if outside or dropped & always_open:
    raise ValueError(
        f"Expected indices of blocks, 0 to {len(found) - 1}, none of them in "
        f"both lists. Received: dropped={sorted(dropped)}, "
        f"always_open={sorted(always_open)}"
    )
  _check_whole(found, dropped, always_open)
  replaced = {
      id(found[i]): _without_gate(found[i], keep_branch=i in always_open)
      for i in chosen
  }
  pruned = graphs.rebuild(
      model, replace=lambda layer: replaced.get(id(layer), layer)
  )
  return graphs.same_class(model, pruned.input, pruned.output, name=model.name)


def _check_whole(found, *chosen):
  for indices in chosen:
    for i in indices:
      own = [j for j, block in enumerate(found) if block is found[i]]
      if not indices.issuperset(own):
        raise ValueError(
            f"The block {found[i].name} is called {len(own)} times, with the "
            f"same weights: it can only be dropped, or opened, as a whole. "
            f"Give all of its indices, {own}, or none of them. Received: "
            f"{sorted(indices)}"
        )


def _without_gate(block, *, keep_branch):
  branch = block.branch if keep_branch else None
  if branch is not None and block.gate is not None:
    branch = block.gate.opened_branch(branch)
  return block.with_layers(branch, gate=None, shortcut=block.shortcut)
