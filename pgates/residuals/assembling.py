"""Puts a network together anew, with layers in place of its residual blocks."""

from collections.abc import Mapping

import keras

from pgates import graphs
from pgates.layers import blocks as layer_blocks
from pgates.layers import gates as gates_lib
from pgates.residuals import blocks
from pgates.residuals import calls as calls_lib
from pgates.residuals import heads
from pgates.training import model as model_lib


def assemble(
    model: keras.Model,
    graph: calls_lib.Graph,
    gates: Mapping[blocks.Block, gates_lib.Gate | None],
    *,
    keep_stochastic_depth: bool,
    macs: Mapping[str, int],
) -> model_lib.GatedModel:
  """The network whose blocks are `GatedResidual` layers; it shares the others.

  Args:
    model: the network.
    graph: of the model.
    gates: of each block that is to be a `GatedResidual`; None for one that
      always runs.
    keep_stochastic_depth: whether layers that drop a whole branch at random
      stay in a branch that has a gate.
    macs: multiply-adds of branches by the names of blocks, where given.

  Returns:
    A `GatedModel`, not compiled.
  """
  with model.distribute_strategy.scope():
    layers = {
        id(block.addition): _layer(
            block,
            gate,
            keep_drops=keep_stochastic_depth or gate is None,
            macs=macs.get(block.name),
        )
        for block, gate in gates.items()
    }
    return _assemble(model, graph, [*gates], layers)


def _layer(block, gate, *, keep_drops, macs):
  """The layer that does what a block did."""
  (total,) = block.addition.results
  shortcut = None
  if block.shortcut:
    shortcut = _part("shortcut", block, block.shortcut, [block.end])
  return layer_blocks.GatedResidual(
      _branch(block, keep_drops=keep_drops),
      gate=gate,
      shortcut=shortcut,
      activation=None,
      macs=macs,
      name=block.name,
      dtype=_policy(total.dtype),
  )


def _branch(block, *, keep_drops):
  calls, ends = list(block.branch), list(block.sides)
  for call in [] if keep_drops else block.drops:
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
