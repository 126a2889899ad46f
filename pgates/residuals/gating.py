"""`gate_residuals`: a network whose residual blocks are gated."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence

import keras

from pgates.layers import data_dependent_gate
from pgates.layers import gate_kinds
from pgates.layers import gates as gates_lib
from pgates.residuals import assembling
from pgates.residuals import blocks
from pgates.residuals import finding
from pgates.residuals import openers as openers_lib
from pgates.residuals import reading
from pgates.training import model as model_lib

# P(open) at the start in a trained network, which is not to be thrown away.
TRAINED_PROBABILITY = 0.95

GateOfResidual = Callable[[finding.Residual], gates_lib.Gate | None]
# From the blocks that were chosen to their gates, by name.
GatesOfBlocks = Callable[
    [Sequence[finding.Residual]], Mapping[str, gates_lib.Gate | None]
]


def gate_residuals(
    model: keras.Model,
    *,
    gate: (
        str | type[gates_lib.Gate] | GateOfResidual
    ) = data_dependent_gate.DataDependentGate,
    select: Callable[[finding.Residual], bool] | None = None,
    skip: Collection[str] = (),
    min_share: float = 0.02,
    initial_probability: float = TRAINED_PROBABILITY,
    keep_stochastic_depth: bool = False,
    macs: Mapping[str, int] | None = None,
    openers: openers_lib.Openers | None = None,
) -> model_lib.GatedModel:
  """A network with gates on its residual blocks; it shares all layers.

  With all gates open (`with_strategy(gated, "always_open")`) it computes what
  the given network does, in float32 bit for bit. Weights are shared: they may
  be loaded, or trained, before or after, in one or the other.

  A layer at the end of a branch that drops it as a whole at random
  (`StochasticDepth`, `DropPath`, `Dropout` of noise [batch, 1, ...]) is left
  out where a gate takes over its role.

  Args:
    model: a functional Keras model; see `find_residuals` for what is a block.
    gate: a subclass of `Gate` or its name, or a callable from a `Residual` to
      a gate, or to None for a block that stays as it is. Under `"none"` blocks
      have no gates and always run: the network to compare with, which trains
      and is exported as the gated ones are.
    select: callable from a `Residual` to whether it is to be gated; None for
      all that can be.
    skip: names of blocks that stay as they are.
    min_share: of the multiply-adds of the model, below which a block stays as
      it is. Where sizes are not fixed, none is counted, and all are gated.
    initial_probability: P(open) at the start, high (0.95): a trained network is
      not thrown away. Of no use where `gate` is a callable.
    keep_stochastic_depth: whether such layers stay.
    macs: as of `find_residuals`.
    openers: as of `find_residuals`.

  Returns:
    A `GatedModel`, not compiled. It has the inputs of the model. Of several
    outputs, each has its name; a single one is called "logits". Where that is
    probabilities, "logits" is what they are made of, and the probabilities
    have the name of their layer.

  Raises:
    ValueError: if no block is left to gate, a name in `skip` is not that of a
      block, or multiply-adds are not known.
  """
  return gate_blocks(
      model,
      lambda rows: _gates(rows, gate, initial_probability),
      select=select,
      skip=skip,
      min_share=min_share,
      keep_stochastic_depth=keep_stochastic_depth,
      macs=macs,
      openers=openers,
  )


def gate_blocks(
    model: keras.Model,
    gates_of: GatesOfBlocks,
    *,
    select: Callable[[finding.Residual], bool] | None = None,
    skip: Collection[str] = (),
    min_share: float = 0.02,
    keep_stochastic_depth: bool = False,
    macs: Mapping[str, int] | None = None,
    openers: openers_lib.Openers | None = None,
) -> model_lib.GatedModel:
  """`gate_residuals`, with gates that depend on which blocks there are.

  Args:
    model: as of `gate_residuals`.
    gates_of: callable from the blocks that are to be gated to a gate by the
      name of each, or None for one that always runs. A block that has no entry
      stays as it is.
    select: as of `gate_residuals`.
    skip: as of `gate_residuals`.
    min_share: as of `gate_residuals`.
    keep_stochastic_depth: as of `gate_residuals`.
    macs: as of `gate_residuals`.
    openers: as of `gate_residuals`.

  Returns:
    A `GatedModel`, as of `gate_residuals`.
  """
  graph = reading.read(model, openers)
  found = blocks.find(graph)
  table = finding.table(model, graph, found, macs)
  rows = _chosen(
      table, select, skip, 0 if _is_open(graph.inputs) else min_share
  )
  made = gates_of(rows)
  if not made:
    raise ValueError(_nothing_left(table, rows))
  by_name = {block.name: block for block in found if block.reason is None}
  return assembling.assemble(
      model,
      graph,
      {by_name[name]: each for name, each in made.items()},
      keep_stochastic_depth=keep_stochastic_depth,
      macs=macs or {},
  )


def _is_open(inputs):
  """Whether a size is not fixed."""
  return any(None in each.shape[1:] for each in keras.tree.flatten(inputs))


def _chosen(table, select, skip, min_share):
  """The rows that are to be gated."""
  unknown = sorted(set(skip) - {row.name for row in table})
  if unknown:
    raise ValueError(
        f"`skip` names no block: {unknown}. The blocks of {table.model}:\n"
        f"{table}"
    )
  if not 0 <= min_share <= 1:  # Nor NaN, under which none would be gated.
    raise ValueError(
        f"`min_share` must be a number from 0 to 1. Received: {min_share}"
    )
  rows = [row for row in table if row.gateable and row.name not in skip]
  if min_share and any(row.share is None for row in rows):
    raise ValueError(
        f"`min_share` needs multiply-adds. {table.unknown} Or give `macs=` by "
        "the names of blocks, or min_share=0."
    )
  return [
      row
      for row in rows
      if (not min_share or row.share >= min_share)
      and (select is None or select(row))
  ]


def _gates(rows, gate, initial_probability):
  """What `gate_residuals` gives to `gate_blocks`."""
  if not isinstance(gate, (str, type)):
    made = {row.name: gate(row) for row in rows}
    return {name: each for name, each in made.items() if each is not None}
  settings = gates_lib.GateSettings(initial_probability=initial_probability)
  made = gate_kinds.make_gates(gate, len(rows), settings=settings)
  return {row.name: each for row, each in zip(rows, made, strict=True)}


def _nothing_left(table, rows):
  found = f"What was found:\n{table}"
  if any(row.gateable for row in table):
    why = "made no gate" if rows else "left none of those that can be"
    given = "`gate`" if rows else "`select`, `skip` and `min_share`"
    return f"No block of {table.model} is gated: {given} {why}. {found}"
  return (
      f"{table.model} has no residual block that can be gated. A block adds a "
      "branch to a shortcut; networks that concatenate, as DenseNet does, have "
      f"none. In code of your own, use pgates.GatedResidual. {found}"
  )
