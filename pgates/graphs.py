"""The graph of a functional model: its gated blocks, and variants of it."""

import keras
import numpy as np

from pgates import blocks


def gated_blocks(model):
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


def seed_gates(model, seed):
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


def rebuild(model, *, call=None, replace=None, input_tensors=None):
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


def call_with(**settings):
  """A `call` for `rebuild` that gives settings to every gated block.

  Args:
    **settings: call arguments of `GatedResidual`.
  """

  def call(layer, *args, **kwargs):
    if isinstance(layer, blocks.GatedResidual):
      kwargs = {**kwargs, **settings}
    return layer(*args, **kwargs)

  return call


def input_like(tensor):
  """A fresh input "images" in the shape and type of a model's input."""
  return keras.Input(
      batch_shape=tensor.shape, dtype=tensor.dtype, name="images"
  )


def same_class(model, plain):
  """Gives a rebuilt model the class of the one it was made from."""
  if type(model) is type(plain):
    return plain
  with model.distribute_strategy.scope():
    return type(model)(plain.input, plain.output, name=model.name)
