"""Models whose gates follow a rule: one for all, or a threshold for each."""

from typing import Any

import keras

from pgates import graphs
from pgates.layers import executions
from pgates.layers import gate_rules


def with_rule(
    model: keras.Model,
    rule: str | gate_rules.Rule | None,
    *,
    execution: str = "masked",
) -> keras.Model:
  """A model that decides its gates by a rule and shares all weights.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    rule: of `gate_rules.NAMES`, as in `"map"` or `"threshold:0.3"`; None for
      each gate's default.
    execution: of `executions.EXECUTIONS`.

  Returns:
    A model like `model`, not compiled.

  Raises:
    ValueError: if the rule is malformed.
  """
  settings = {"execution": execution}
  if rule is not None:
    settings["rule"] = str(gate_rules.parse(rule))
  call = graphs.call_with(**settings)
  ruled = graphs.rebuild(model, call=call)
  return graphs.same_class(model, ruled.input, ruled.output, name=model.name)


def with_threshold_input(
    model: keras.Model, *, execution: str = "masked"
) -> keras.Model:
  """A model whose gates open above a probability given with each example.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    execution: as of `with_strategy`.

  Returns:
    A model of `{"images": [batch, ...], "threshold": [batch]}` (of several
    inputs, their names in place of "images"), of the class and with the
    outputs of `model`, not compiled. It shares all weights.

  Raises:
    ValueError: if blocks are in a nested model, an input is called
      "threshold", or the execution is unknown.
  """
  # A block would object only when it is first run.
  executions.check_execution(execution)
  if any(graphs.gated_blocks(m) for m in model.layers if _is_model(m)):
    raise ValueError(
        f"{model.name} holds gated blocks in a nested model; a threshold input "
        "needs them in the model itself."
    )
  new = _by_name(graphs.fresh_inputs(model), model)
  if "threshold" in new:
    raise ValueError(
        f"{model.name} has an input 'threshold' already. Received the inputs: "
        f"{sorted(new)}"
    )
  new["threshold"], unused = _threshold_input(), _threshold_input()
  call = graphs.call_with(
      rule="threshold", execution=execution, threshold=new["threshold"]
  )
  with model.distribute_strategy.scope():
    # The threshold must be an input before the blocks can be called with it.
    old = {**_by_name(model.input, model), "threshold": unused}
    joined = keras.Model(
        list(old.values()), {**model.output, "threshold": unused}
    )
    core = graphs.rebuild(
        joined, call=call, input_tensors=[new[name] for name in old]
    )
  outputs = {name: core.output[name] for name in model.output}
  result = graphs.same_class(model, new, outputs, name=model.name)
  if execution == "routed":
    result.jit_compile = False  # As in `with_strategy`.
  return result


def threshold_inputs(model: keras.Model, inputs: Any, threshold: float) -> dict:
  """What a model of `with_threshold_input` takes.

  Args:
    model: the model that it was made from.
    inputs: tensors in the structure of that model's inputs.
    threshold: a probability, for all examples.

  Returns:
    A dictionary.
  """
  named = _by_name(inputs, model)
  shape = keras.ops.shape(next(iter(named.values())))[:1]
  return {**named, "threshold": keras.ops.full(shape, threshold, "float32")}


def _by_name(inputs, model):
  if isinstance(inputs, dict):
    return dict(inputs)
  if not isinstance(model.input, (list, tuple)):
    return {"images": inputs}
  names = [tensor.name for tensor in model.input]
  return dict(zip(names, inputs, strict=True))


def _is_model(layer):
  return isinstance(layer, keras.Model)


def _threshold_input():
  return keras.Input((), dtype="float32", name="threshold")
