"""Two networks, the second for inputs of which the first is not sure."""

import keras

from pgates import graphs
from pgates.costs import model_macs
from pgates.layers import blocks
from pgates.layers import confidence_gate
from pgates.training import model as model_lib

# Of the one block, in tables.
SECOND = "second_network"


def cascade(
    first: keras.Model, second: keras.Model, *, name: str = "cascade"
) -> model_lib.GatedModel:
  """A cascade: one network for all inputs, a second where that is not sure.

  It is a network of one gated block, the second network, whose gate
  (`ConfidenceGate`) reads the answer of the first: P(open) is one minus the
  highest probability. Where both are asked, the logits are the mean of theirs.
  Strategies, exports and evaluation take it as they take others:
  `budget:0.5` chooses, on validation data, of how many inputs the second
  network is asked.

  Args:
    first: a network without gates, with the outputs of `pgates.ResNet50`: a
      plain run's, or of `gate_residuals(network, gate="none")`.
    second: another one, of the same inputs and classes, which takes more
      multiply-adds.
    name: of the cascade.

  Returns:
    A `GatedModel`, not compiled, that shares the weights of both.

  Raises:
    ValueError: if the networks have gates, or do not fit together.

  References:
    Wang et al., "Wisdom of committees", arXiv 2012.01988.
  """
  for model in (first, second):
    _check(model)
  shapes = [
      (tuple(each.input.shape[1:]), each.output["logits"].shape[-1])
      for each in (first, second)
  ]
  if shapes[0] != shapes[1]:
    raise ValueError(
        "Networks of a cascade take the same images and tell the same classes "
        f"apart. Received: {first.name} takes {shapes[0][0]} and has "
        f"{shapes[0][1]} classes, {second.name} takes {shapes[1][0]} and has "
        f"{shapes[1][1]}."
    )
  costs = [model_macs.count_macs(each).dense for each in (first, second)]
  if costs[0] >= costs[1]:
    raise ValueError(
        "The first network of a cascade is asked for every input, and must be "
        f"the cheaper one. Received: {first.name} of {costs[0]:,} "
        f"multiply-adds, {second.name} of {costs[1]:,}."
    )
  block = blocks.GatedResidual(
      _logits_of(second, "branch"),
      gate=confidence_gate.ConfidenceGate(name="gate"),
      shortcut=_logits_of(first, "shortcut"),
      activation=None,
      name=SECOND,
      dtype="float32",
  )
  images = graphs.fresh_inputs(first)
  total, gate, gate_logit = block(images)
  logits = total / keras.ops.expand_dims(1.0 + gate, axis=-1)
  return model_lib.GatedModel(
      images, graphs.gated_outputs(logits, [gate], [gate_logit]), name=name
  )


def _check(model):
  outputs = model.output if isinstance(model.output, dict) else {}
  logits = outputs.get("logits")
  if logits is None or len(logits.shape) != 2 or len(model.inputs) != 1:
    raise ValueError(
        "A network of a cascade has one input and the output `logits` [batch, "
        f"classes]. Received: {model.name}, of inputs {model.input} and outputs"
        f" {model.output}. Of a network of your own, pass "
        'pgates.gate_residuals(network, gate="none").'
    )
  gated = [b.name for b in graphs.gated_blocks(model) if b.gate is not None]
  if gated:
    raise ValueError(
        "A network of a cascade has no gates of its own. Received: "
        f"{model.name}, with gates on {', '.join(gated)}. Prune it: "
        "pgates.prune."
    )


def _logits_of(model, name):
  return keras.Model(model.input, model.output["logits"], name=name)
