"""Multiply-adds of gated networks: dense, expected and executed.

TensorFlow's profiler is wrong for gated graphs: it counts a skipped branch as
run, and a gathered one as nothing. So this counts by itself; see
`pgates.layer_costs` for what counts.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from pgates import blocks
from pgates import graphs
from pgates.layer_costs import layer_macs
from pgates.layer_costs import unknown_layer

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
  def always(self):
    """Multiply-adds of an example whose gates are all closed."""
    return self.fixed + sum(self.gates)

  @property
  def dense(self):
    """Multiply-adds of an example whose gates are all open."""
    return self.always + sum(self.branches)

  def executed(self, gates):
    """Multiply-adds that decisions execute.

    Args:
      gates: [batch, blocks], nonzero where a block runs.

    Returns:
      int64 tensor [batch].
    """
    ran = tf.cast(tf.not_equal(gates, 0), tf.int64)
    branches = tf.constant(self.branches, tf.int64, shape=[len(self.branches)])
    return self.always + tf.reduce_sum(ran * branches, axis=-1)

  def expected(self, probabilities):
    """Mean multiply-adds under open probabilities, or under open rates.

    Args:
      probabilities: array [..., blocks] of P(open) or of mean open rates.

    Returns:
      float64 array [...].
    """
    probabilities = np.asarray(probabilities, np.float64)
    return self.always + probabilities @ np.asarray(self.branches, np.float64)


def count_macs(model):
  """Counts the multiply-adds of a functional model.

  A layer called n times counts n times.

  Args:
    model: functional Keras model with fixed input sizes.

  Returns:
    `ModelMacs` for one example.

  Raises:
    ValueError: if a layer is not known, or a size not fixed.
  """
  fixed, records = 0, []

  def count_call(layer, *args, **kwargs):
    nonlocal fixed
    if isinstance(layer, blocks.GatedResidual):
      shape = args[0].shape
      fixed += (
          0 if layer.shortcut is None else layer_macs(layer.shortcut, shape)
      )
      records.append(
          (layer.name, _gate_macs(layer, shape), branch_macs(layer, shape))
      )
    elif isinstance(layer, keras.layers.Layer):
      inputs = keras.tree.flatten(args)
      fixed += layer_macs(layer, inputs[0].shape) if inputs else 0
    elif type(layer).__name__ in _COSTLY_OPERATIONS:
      raise ValueError(unknown_layer(layer))
    return layer(*args, **kwargs)

  graphs.rebuild(model, call=count_call)
  names, gates, branches = zip(*records, strict=True) if records else ((),) * 3
  return ModelMacs(names=names, fixed=fixed, gates=gates, branches=branches)


def branch_macs(block, input_shape):
  """Multiply-adds of the branch of a `GatedResidual`, for one example."""
  if block.branch is None:
    return 0
  if block.macs is not None:
    return block.macs
  return layer_macs(block.branch, input_shape)


def _gate_macs(block, input_shape):
  return 0 if block.gate is None else layer_macs(block.gate, input_shape)


@layer_macs.register(keras.Model)
def _functional(layer, input_shape):
  inputs = keras.Input(input_shape[1:])
  return count_macs(graphs.rebuild(layer, input_tensors=inputs)).dense
