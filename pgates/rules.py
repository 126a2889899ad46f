"""Models whose gates follow a rule: one for all, or a threshold for each."""

import keras

from pgates import executions
from pgates import gate_ops
from pgates import graphs


def with_rule(model, rule, *, execution="masked"):
  """A model that decides its gates by a rule and shares all weights.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    rule: of `gate_ops.RULES`, as in `"map"` or `"threshold:0.3"`; None for
      each gate's default.
    execution: of `executions.EXECUTIONS`.

  Returns:
    A model like `model`, not compiled.

  Raises:
    ValueError: if the rule is malformed.
  """
  settings = {"execution": execution}
  if rule is not None:
    gate_ops.parse_rule(rule)
    settings["strategy"] = rule
  call = graphs.call_with(**settings)
  return graphs.same_class(model, graphs.rebuild(model, call=call))


def with_threshold_input(model, *, execution="masked"):
  """A model whose gates open above a probability given with each example.

  Args:
    model: a functional Keras model of one input and `GatedResidual` blocks.
    execution: as of `with_strategy`.

  Returns:
    A model of `{"images": [batch, ...], "threshold": [batch]}`, of the class
    and with the outputs of `model`, not compiled. It shares all weights.

  Raises:
    ValueError: if blocks are in a nested model, or the execution is unknown.
  """
  # A block would object only when it is first run.
  executions.check_execution(execution)
  if any(graphs.gated_blocks(m) for m in model.layers if _is_model(m)):
    raise ValueError(
        f"{model.name} holds gated blocks in a nested model; a threshold input "
        "needs them in the model itself."
    )
  images, unused = model.inputs[0], _threshold_input()
  new = {"images": graphs.input_like(images), "threshold": _threshold_input()}
  call = graphs.call_with(
      strategy="threshold", execution=execution, threshold=new["threshold"]
  )
  with model.distribute_strategy.scope():
    # The threshold must be an input before the blocks can be called with it.
    outputs = {**model.output, "threshold": unused}
    joined = keras.Model([images, unused], outputs)
    core = graphs.rebuild(joined, call=call, input_tensors=list(new.values()))
    outputs = {name: core.output[name] for name in model.output}
    result = type(model)(new, outputs, name=model.name)
  if execution == "routed":
    result.jit_compile = False  # As in `with_strategy`.
  return result


def _is_model(layer):
  return isinstance(layer, keras.Model)


def _threshold_input():
  return keras.Input((), dtype="float32", name="threshold")
