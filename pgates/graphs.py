"""The graph of a functional model: its gated blocks, and variants of it."""

from collections.abc import Callable
from collections.abc import Sequence
import inspect
from typing import Any

import keras
import numpy as np

from pgates.layers import blocks

OUTPUTS = ("logits", "gates", "gate_logits")


def gated_outputs(
    logits: keras.KerasTensor,
    gates: Sequence[keras.KerasTensor],
    gate_logits: Sequence[keras.KerasTensor],
) -> dict[str, keras.KerasTensor]:
  """The outputs of a `GatedModel`.

  Args:
    logits: [batch, classes].
    gates: list of [batch], one from each `GatedResidual`, in call order.
    gate_logits: list of [batch], in the same order.

  Returns:
    `{"logits": [batch, classes], "gates": [batch, blocks], "gate_logits":
    [batch, blocks]}`.
  """
  return {
      "logits": logits,
      "gates": keras.ops.stack(gates, axis=1),
      "gate_logits": keras.ops.stack(gate_logits, axis=1),
  }


def gated_blocks(model: keras.Model) -> list[blocks.GatedResidual]:
  """The `GatedResidual` layers of a functional model, in call order.

  Args:
    model: a functional Keras model; models nested in it are searched too.

  Returns:
    A list of layers.
  """
  found = []
  for layer in model.layers:
    if isinstance(layer, blocks.GatedResidual):
      found.append(layer)
    elif isinstance(layer, keras.Model):
      found.extend(gated_blocks(layer))
  return found


def seed_gates(model: keras.Model, seed: int) -> None:
  """Restarts the noise of all gates of a model from one seed.

  Each gate gets a seed of its own; equal seeds give equal noise.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    seed: integer, not negative.
  """
  found = [block.gate for block in gated_blocks(model)]
  seeds = np.random.SeedSequence(seed).generate_state(len(found), np.uint32)
  for gate, own in zip(found, seeds, strict=True):
    if gate is not None:
      gate.seed_generator.state.assign([own, 0])


def rebuild(
    model: keras.Model,
    *,
    call: Callable[..., Any] | None = None,
    replace: Callable[[keras.layers.Layer], keras.layers.Layer] | None = None,
    input_tensors: Any = None,
) -> keras.Model:
  """Builds a model's graph anew, out of the same layers.

  Args:
    model: a functional Keras model.
    call: `(layer, *args, **kwargs) -> outputs` in place of calling the layer.
    replace: `layer -> layer`, for layers to exchange.
    input_tensors: new inputs, where not fresh ones.

  Returns:
    A plain `keras.Model`, not compiled.

  Raises:
    ValueError: if the model is not functional.
  """
  try:
    inputs, outputs = model.input, model.output
  except (AttributeError, ValueError) as error:
    raise ValueError(
        "Expected a functional Keras model (keras.Model(inputs, outputs)). "
        f"Received: {model}"
    ) from error
  with model.distribute_strategy.scope():
    # A compiled model would be compiled anew, with an optimizer's variables.
    return keras.models.clone_model(
        keras.Model(inputs, outputs, name=model.name),
        clone_function=replace or (lambda layer: layer),
        call_function=call,
        input_tensors=input_tensors,
        recursive=True,
    )


def call_with(**settings: Any) -> Callable[..., Any]:
  """A `call` for `rebuild` that gives settings to every gated block.

  Args:
    **settings: call arguments of `GatedResidual`.
  """

  def call(layer, *args, **kwargs):
    if isinstance(layer, blocks.GatedResidual):
      kwargs = {**kwargs, **settings}
    return layer(*args, **kwargs)

  return call


def gated_calls(model: keras.Model) -> list[blocks.GatedResidual]:
  """The block that each column of a model's `gates` is of.

  Args:
    model: a functional Keras model; models nested in it are searched too.

  Returns:
    A list of `GatedResidual` layers in call order; one that is called several
    times stands there as often.
  """
  return [block for block, _ in gated_calls_with_shapes(model)]


def gated_calls_with_shapes(
    model: keras.Model,
) -> list[tuple[blocks.GatedResidual, tuple[int | None, ...]]]:
  """Each call of a gated block, as `gated_calls`, and what it is called on.

  Args:
    model: a functional Keras model; models nested in it are searched too.

  Returns:
    A list of blocks, each with the shape of one of its inputs, without batch.
  """
  found = []

  def call(layer, *args, **kwargs):
    if isinstance(layer, blocks.GatedResidual):
      found.append((layer, tuple(args[0].shape[1:])))
    elif isinstance(layer, keras.Model):
      found.extend(gated_calls_with_shapes(layer))
    return layer(*args, **kwargs)

  if gated_blocks(model):
    keras.models.clone_model(
        keras.Model(model.input, model.output),
        clone_function=lambda layer: layer,
        call_function=call,
    )
  return found


def fresh_inputs(model: keras.Model) -> Any:
  """Fresh inputs in the structure, shapes and types of a model's.

  A single one is called "images", others keep their names.
  """
  if not isinstance(model.input, (dict, list, tuple)):
    return _input_like(model.input, "images")
  return keras.tree.map_structure(
      lambda tensor: _input_like(tensor, tensor.name), model.input
  )


def _input_like(tensor, name):
  return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def same_class(
    model: keras.Model, inputs: Any, outputs: Any, *, name: str | None = None
) -> keras.Model:
  """A model of other inputs and outputs, in the class of a model.

  Args:
    model: a functional Keras model.
    inputs: tensors.
    outputs: tensors.
    name: of the new model.

  Returns:
    A model that is not compiled. Where the class has a constructor of its own,
    it is of the nearest base whose constructor takes what that of
    `keras.Model` takes.
  """
  # One that passes on what it is given, as Keras looks for one.
  wanted = _arguments(keras.Model)
  fitting = (cls for cls in type(model).__mro__ if _arguments(cls) == wanted)
  with model.distribute_strategy.scope():
    return next(fitting)(inputs, outputs, name=name)


def _arguments(cls):
  """Of a constructor, without their types."""
  return inspect.getfullargspec(cls.__init__)._replace(annotations={})
