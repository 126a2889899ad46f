"""`gate_residuals`: a network whose residual blocks are gated."""

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping

import keras

from pgates import graphs
from pgates.layers import blocks as layer_blocks
from pgates.layers import data_dependent_gate
from pgates.layers import gate_kinds
from pgates.layers import gates as gates_lib
from pgates.residuals import blocks
from pgates.residuals import calls as calls_lib
from pgates.residuals import finding
from pgates.residuals import heads
from pgates.residuals import openers as openers_lib
from pgates.residuals import reading
from pgates.training import model as model_lib

GateOfResidual = Callable[[finding.Residual], gates_lib.Gate | None]


def gate_residuals(
    model: keras.Model,
    *,
    gate: (
        str | type[gates_lib.Gate] | GateOfResidual
    ) = data_dependent_gate.DataDependentGate,
    select: Callable[[finding.Residual], bool] | None = None,
    skip: Collection[str] = (),
    min_share: float = 0.02,
    initial_probability: float = 0.95,
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
  out: the gate takes over its role.

  Args:
    model: a functional Keras model; see `find_residuals` for what is a block.
    gate: a subclass of `Gate` or its name, or a callable from a `Residual` to
      a gate, or to None for a block that stays as it is.
    select: callable from a `Residual` to whether it is to be gated; None for
      all that can be.
    skip: names of blocks that stay as they are.
    min_share: of the multiply-adds of the model, below which a block stays as
      it is. Where sizes are not fixed, none is counted, and all are gated.
    initial_probability: P(open) at the start, high: a trained network is not
      thrown away. Of no use where `gate` is a callable.
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
  graph = reading.read(model, openers)
  found = blocks.find(graph)
  table = finding.table(model, graph, found, macs)
  rows = _chosen(
      table, select, skip, 0 if _is_open(graph.inputs) else min_share
  )
  made = _gates(rows, gate, initial_probability)
  if not made:
    raise ValueError(_nothing_left(table, rows))
  by_name = {block.name: block for block in found if block.reason is None}
  with model.distribute_strategy.scope():
    layers = {
        id(by_name[name].addition): _layer(
            by_name[name],
            each,
            keep_stochastic_depth=keep_stochastic_depth,
            macs=(macs or {}).get(name),
        )
        for name, each in made.items()
    }
    chosen = [by_name[name] for name in made]
    return _assemble(model, graph, chosen, layers)


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
  """A gate for each name of a block."""
  if not isinstance(gate, (str, type)):
    made = {row.name: gate(row) for row in rows}
  else:
    settings = gates_lib.GateSettings(initial_probability=initial_probability)
    make = gate_kinds.factory(gate, settings)
    made = {row.name: make(i, len(rows)) for i, row in enumerate(rows)}
  return {name: each for name, each in made.items() if each is not None}


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


def _layer(block, gate, *, keep_stochastic_depth, macs):
  """The layer that does what a block did."""
  (total,) = block.addition.results
  shortcut = None
  if block.shortcut:
    shortcut = _part("shortcut", block, block.shortcut, [block.end])
  return layer_blocks.GatedResidual(
      _branch(block, keep_stochastic_depth=keep_stochastic_depth),
      gate=gate,
      shortcut=shortcut,
      activation=None,
      macs=macs,
      name=block.name,
      dtype=_policy(total.dtype),
  )


def _branch(block, *, keep_stochastic_depth):
  calls, ends = list(block.branch), list(block.sides)
  for call in [] if keep_stochastic_depth else block.drops:
    calls.remove(call)
    ends = [call.inputs[0] if end is call.results[0] else end for end in ends]
  return _part("branch", block, calls, ends)


def _part(name, block, calls, ends):
  """A model of some calls of a block, on an input of its own."""
  origin = block.origin
  inputs = keras.Input((*origin.shape[1:],), dtype=origin.dtype)
  tensors = {id(origin): inputs}
  calls_lib.replay(calls, tensors)
  (total,) = block.addition.results
  outputs = [tensors[id(end)] for end in ends]
  policy = _policy(total.dtype)
  if len(outputs) > 1:
    outputs = [keras.layers.Add(dtype=policy)(outputs)]
  addition = block.addition.operation
  if calls_lib.is_scaled_addition(addition) and name == "branch":
    rescaling = keras.layers.Rescaling(addition.scale, dtype=policy)
    outputs = [rescaling(outputs[0])]
  return keras.Model(inputs, outputs[0], name=name)


def _policy(dtype):
  """The policy of a block that computes in a type."""
  return dtype if dtype == "float32" else f"mixed_{dtype}"


def _assemble(model, graph, chosen, layers):
  """The gated model: calls of the graph, and blocks in place of some."""
  inside = {
      id(call) for block in chosen for call in block.branch + block.shortcut
  }
  origins = {id(block.addition): block.origin for block in chosen}
  last, logits = heads.last_call(graph), None
  tensors, names, decisions = {}, {}, {}
  for call in graph.calls:
    layer = layers.get(id(call))
    if layer is not None:
      origin = origins[id(call)]
      outputs, *decision = layer(tensors.get(id(origin), origin))
      tensors[id(call.results[0])] = outputs
      decisions[layer] = decision
    elif call is last:
      logits = heads.apply_last(call, tensors, names)
    elif id(call) not in inside:
      calls_lib.replay([call], tensors, names)
  outputs = calls_lib.substitute(graph.outputs, tensors)
  named = heads.named(model, outputs)
  if logits is not None:
    named = {heads.LOGITS: logits, last.name: named[heads.LOGITS]}
  return _stacked(model, graph.inputs, named, decisions)


def _stacked(model, inputs, outputs, decisions):
  """The model, whose columns of gates are in the order of its calls."""
  taken = sorted({"gates", "gate_logits"} & set(outputs))
  if taken:
    raise ValueError(
        f"Outputs of {model.name} have the names of a GatedModel's own: {taken}"
    )
  order = list(decisions)
  for _ in range(3):
    gates, logits = zip(*(decisions[layer] for layer in order), strict=True)
    stacked = graphs.gated_outputs(None, gates, logits)
    del stacked["logits"]
    gated = model_lib.GatedModel(
        inputs, {**outputs, **stacked}, name=model.name
    )
    calls = graphs.gated_calls(gated)
    if calls == order:
      return gated
    order = calls
  raise ValueError(f"Keras calls the blocks of {model.name} in no fixed order.")
