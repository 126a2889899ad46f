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
    ValueError: if an index is not that of a column, or in both lists; or if a
      block that is called several times is only in part in one of them.
  """
  found = graphs.gated_calls(model)
  closed, opened = set(closed), set(opened)
  outside = [i for i in closed | opened if not 0 <= i < len(found)]
  if outside or closed & opened:
    raise ValueError(
        f"Expected indices of blocks, 0 to {len(found) - 1}, none of them in "
        f"both lists. Received: closed={sorted(closed)}, "
        f"opened={sorted(opened)}"
    )
  _check_whole(found, closed, opened)
  replaced = {
      id(found[i]): _without_gate(found[i], keep_branch=i in opened)
      for i in closed | opened
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
  return block.with_layers(branch, gate=None, shortcut=block.shortcut)
