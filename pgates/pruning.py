"""Static pruning: blocks that never run leave the graph, weights and all."""

from pgates import graphs


def prune(model, closed, *, opened=()):
  """A smaller model without some of the branches.

  A dropped block leaves its shortcut (for the first block of a stage, the
  projection) and its activation. The other layers are shared with `model`.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    closed: indices of the blocks to drop; their column of `gates` is 0.
    opened: indices of blocks to run always: their gate is dropped, their
      column of `gates` is 1.

  Returns:
    A model of the same class as `model`, not compiled. It holds neither the
    dropped branches nor the dropped gates.

  Raises:
    ValueError: if an index is not that of a block, or in both lists.
  """
  found = graphs.gated_blocks(model)
  closed, opened = set(closed), set(opened)
  outside = [i for i in closed | opened if not 0 <= i < len(found)]
  if outside or closed & opened:
    raise ValueError(
        f"Expected indices of blocks, 0 to {len(found) - 1}, none of them in "
        f"both lists. Received: closed={sorted(closed)}, "
        f"opened={sorted(opened)}"
    )
  replaced = {
      id(block): _without_gate(block, keep_branch=i in opened)
      for i, block in enumerate(found)
      if i in closed | opened
  }
  pruned = graphs.rebuild(
      model, replace=lambda layer: replaced.get(id(layer), layer)
  )
  return graphs.same_class(model, pruned)


def _without_gate(block, *, keep_branch):
  branch = block.branch if keep_branch else None
  return block.with_layers(branch, gate=None, shortcut=block.shortcut)
