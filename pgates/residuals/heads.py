"""The outputs of a network, as those of a `GatedModel`.

Losses, ensembles and exports read logits. Where the one output of a network
is probabilities, the logits that they are made of are an output too.
"""

from typing import Any

import keras
import tensorflow as tf

from pgates.costs.layer_costs import layer_macs
from pgates.residuals import calls as calls_lib

LOGITS = "logits"
_ACTIVATIONS = (keras.activations.softmax, keras.activations.sigmoid)
_LAYERS = (keras.layers.Conv2D, keras.layers.Dense)


@keras.saving.register_keras_serializable(package="pgates")
class BeforeActivation(keras.layers.Layer):
  """What a layer computes before its activation; of its very weights.

  Args:
    layer: a dense layer or convolution with an `activation`.
    **kwargs: of `keras.layers.Layer`.

  Call arguments:
    inputs: of the layer.

  Returns:
    The layer's outputs, had it no activation.
  """

  def __init__(self, layer: keras.layers.Layer, **kwargs: Any):
    super().__init__(**kwargs)
    self.layer = layer

  def build(self, input_shape: tuple[int | None, ...]) -> None:
    if not self.layer.built:
      self.layer.build(input_shape)

  def call(self, inputs: tf.Tensor) -> tf.Tensor:
    activation = self.layer.activation
    # Keras computes outputs in one method, activation and all.
    self.layer.activation = keras.activations.linear
    try:
      return self.layer(inputs)
    finally:
      self.layer.activation = activation

  def compute_output_shape(
      self, input_shape: tuple[int | None, ...]
  ) -> tuple[int | None, ...]:
    return self.layer.compute_output_shape(input_shape)

  def get_config(self) -> dict[str, Any]:
    layer = keras.saving.serialize_keras_object(self.layer)
    return {**super().get_config(), "layer": layer}

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> "BeforeActivation":
    layer = keras.saving.deserialize_keras_object(config["layer"])
    return cls(**{**config, "layer": layer})


@layer_macs.register(BeforeActivation)
def _macs(layer, input_shape):
  return layer_macs(layer.layer, input_shape)


def last_call(graph: calls_lib.Graph) -> calls_lib.Call | None:
  """The call whose activation makes probabilities of logits, at the one output.

  Args:
    graph: as read from a model.

  Returns:
    None where there are several outputs, or they are no probabilities, or the
    layer is called elsewhere too.
  """
  outputs = keras.tree.flatten(graph.outputs)
  found = [
      call
      for call in graph.calls
      if len(outputs) == 1 and any(each is outputs[0] for each in call.results)
  ]
  uses = [c for c in graph.calls if found and c.operation is found[0].operation]
  return found[0] if len(uses) == 1 and _is_last(found[0].operation) else None


def _is_last(operation):
  if isinstance(operation, keras.layers.Softmax):
    return True
  if not isinstance(operation, (keras.layers.Activation, *_LAYERS)):
    return type(operation).__name__ in ("Sigmoid", "Softmax")
  return operation.activation in _ACTIVATIONS


def apply_last(
    call: calls_lib.Call,
    tensors: dict[int, Any],
    names: dict[str, keras.Operation] | None = None,
) -> Any:
  """Makes the call of `last_call` in two steps.

  Args:
    call: of a graph.
    tensors: as of `calls.replay`.
    names: as of `calls.replay`.

  Returns:
    The logits.
  """
  layer = call.operation
  (result,) = call.results
  if not isinstance(layer, _LAYERS):
    calls_lib.replay([call], tensors, names)
    return tensors.get(id(call.inputs[0]), call.inputs[0])
  inputs = calls_lib.substitute(call.args[0], tensors)
  policy = layer.dtype_policy
  logits = BeforeActivation(layer, name=f"{call.name}_logits", dtype=policy)(
      inputs
  )
  tensors[id(result)] = keras.layers.Activation(
      layer.activation, name=call.name, dtype=policy
  )(logits)
  return logits


def named(model: keras.Model, outputs: Any) -> dict[str, keras.KerasTensor]:
  """The outputs of a network by name.

  Args:
    model: the network.
    outputs: in the structure of its own.

  Returns:
    Of several outputs, each under its key, or the name of its layer; a single
    one under "logits".
  """
  flat = keras.tree.flatten(outputs)
  if len(flat) == 1:
    return {LOGITS: flat[0]}
  if isinstance(outputs, dict) and len(outputs) == len(flat):
    return dict(outputs)
  names = getattr(model, "output_names", None) or [t.name for t in flat]
  found = {}
  for name, tensor in zip(names, flat, strict=True):
    # One layer may have made several.
    count = sum(key.split(".")[0] == name for key in found)
    found[f"{name}.{count}" if count else name] = tensor
  return found
