"""Multiply-adds of gated networks: dense, expected and executed.

TensorFlow's profiler is wrong for gated graphs: it counts a skipped branch as
run, and a gathered one as nothing. So this counts by itself; see
`layer_costs` for what counts.
"""

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pgates.costs.layer_costs import attention_macs
from pgates.costs.layer_costs import layer_macs
from pgates.costs.layer_costs import unknown_layer
from pgates.layers import blocks

# Operations of `keras.ops` that multiply matrices; the others are free.
_COSTLY_OPERATIONS = (
    "Conv",
    "ConvTranspose",
    "DepthwiseConv",
    "Dot",
    "DotProductAttention",
    "Einsum",
    "Inner",
    "Matmul",
    "Outer",
    "SeparableConv",
    "Tensordot",
    "Vdot",
)


@dataclasses.dataclass(frozen=True)
class ModelMacs:
  """Multiply-adds of one example, by where they are spent.

  Args:
    names: of the gated blocks, in the order of the model's `gates` columns.
    fixed: what no gate can save: stem, shortcuts, classifier.
    gates: of each block's gate, which always runs.
    branches: of each block's branch.
  """

  names: tuple[str, ...]
  fixed: int
  gates: tuple[int, ...]
  branches: tuple[int, ...]

  @property
  def always(self) -> int:
    """Multiply-adds of an example whose gates are all closed."""
    return self.fixed + sum(self.gates)

  @property
  def dense(self) -> int:
    """Multiply-adds of an example whose gates are all open."""
    return self.always + sum(self.branches)

  def executed(self, gates: tf.Tensor) -> tf.Tensor:
    """Multiply-adds that decisions execute.

    Args:
      gates: [batch, blocks], nonzero where a block runs.

    Returns:
      int64 tensor [batch].
    """
    ran = tf.cast(tf.cast(gates, tf.bool), tf.int64)
    branches = tf.constant(self.branches, tf.int64, shape=[len(self.branches)])
    return self.always + tf.reduce_sum(ran * branches, axis=-1)

  def expected(self, probabilities: np.ndarray) -> np.ndarray:
    """Mean multiply-adds under open probabilities, or under open rates.

    Args:
      probabilities: array [..., blocks] of P(open) or of mean open rates.

    Returns:
      float64 array [...].
    """
    probabilities = np.asarray(probabilities, np.float64)
    return self.always + probabilities @ np.asarray(self.branches, np.float64)


def count_macs(model: keras.Model) -> ModelMacs:
  """Counts the multiply-adds of a functional model.

  A layer called n times counts n times.

  Args:
    model: functional Keras model with fixed input sizes.

  Returns:
    `ModelMacs` for one example.

  Raises:
    ValueError: if a layer is not known, or a size not fixed.
  """
  return _count(model)


def _count(model, inputs=None):
  """Counts a model; called on nested KerasTensors, where they are given."""
  fixed, records = 0, []

  def count_call(layer, *args, **kwargs):
    nonlocal fixed
    inputs = _inputs(args, kwargs)
    if isinstance(layer, blocks.GatedResidual):
      shape = inputs.shape
      fixed += (
          0 if layer.shortcut is None else layer_macs(layer.shortcut, shape)
      )
      records.append(
          (layer.name, _gate_macs(layer, shape), branch_macs(layer, shape))
      )
    elif layer_macs.dispatch(type(layer)) is _nested:
      inner = _count(layer, inputs)
      fixed += inner.fixed
      records.extend(zip(inner.names, inner.gates, inner.branches, strict=True))
    else:
      fixed += call_macs(layer, args, kwargs)
    return layer(*args, **kwargs)

  _call_layers(model, count_call, inputs)
  names, gates, branches = zip(*records, strict=True) if records else ((),) * 3
  return ModelMacs(names=names, fixed=fixed, gates=gates, branches=branches)


def call_macs(
    operation: keras.Operation, args: tuple, kwargs: dict[str, Any]
) -> int:
  """Multiply-adds of one call of a layer or an operation, for one example.

  Args:
    operation: a layer, or an operation of `keras.ops`.
    args: positional arguments, with tensors of known shapes.
    kwargs: arguments by name.

  Raises:
    ValueError: if the layer is not known, or a size not fixed.
  """
  if not isinstance(operation, keras.layers.Layer):
    if type(operation).__name__ in _COSTLY_OPERATIONS:
      raise ValueError(unknown_layer(operation))
    return 0
  inputs = _inputs(args, kwargs)
  if layer_macs.dispatch(type(operation)) is _nested:
    return _count(operation, inputs).dense
  if isinstance(operation, keras.layers.MultiHeadAttention):
    return attention_macs(operation, *_attention_shapes(args, kwargs))
  tensors = keras.tree.flatten(inputs)
  return layer_macs(operation, tensors[0].shape) if tensors else 0


def _inputs(args, kwargs):
  return args[0] if args else next(iter(kwargs.values()), None)


def _attention_shapes(args, kwargs):
  """Of query, value and key, as Keras's attention is called with them."""
  given = dict(zip(("query", "value", "key"), args, strict=False)) | kwargs
  query, value = given["query"], given["value"]
  key = given.get("key")
  return query.shape, value.shape, (value if key is None else key).shape


def _call_layers(model, call, inputs):
  """Runs `call` on each call of a layer; nested models are one layer."""
  functional = hasattr(model, "operations") or isinstance(
      model, keras.Sequential
  )
  if not functional or not model.built:
    raise ValueError(
        "Expected a functional Keras model (keras.Model(inputs, outputs)). "
        f"Received: {model}. In the branch of a GatedResidual, give the block "
        "`macs=`; elsewhere, register a function with "
        "`pgates.layer_macs.register`."
    )
  if inputs is not None:
    pairs = zip(
        keras.tree.flatten(inputs), keras.tree.flatten(model.input), strict=True
    )
    fresh = [
        keras.Input(batch_shape=new.shape, dtype=new.dtype, name=old.name)
        for new, old in pairs
    ]
    inputs = keras.tree.pack_sequence_as(model.input, fresh)
  keras.models.clone_model(
      keras.Model(model.input, model.output),
      clone_function=lambda layer: layer,
      call_function=call,
      input_tensors=inputs,
  )


def branch_macs(
    block: blocks.GatedResidual, input_shape: tuple[int | None, ...]
) -> int:
  """Multiply-adds of the branch of a `GatedResidual`, for one example."""
  if block.branch is None:
    return 0
  if block.macs is not None:
    return block.macs
  return layer_macs(block.branch, input_shape)


def _gate_macs(block, input_shape):
  return 0 if block.gate is None else layer_macs(block.gate, input_shape)


@layer_macs.register(keras.Model)
def _nested(layer, input_shape):
  return _count(layer, keras.Input(batch_shape=input_shape)).dense
