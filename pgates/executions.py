"""Executions: what a decision does to the work of a residual block.

Each computes `shortcut + scales * branch(inputs)` for the examples whose gate
is open, and `shortcut` for the others, before the activation.
"""

import tensorflow as tf

EXECUTIONS = ("masked", "routed")


def _per_example(scales, like):
  shape = tf.concat(
      [tf.shape(scales), tf.ones(like.shape.rank - 1, tf.int32)], 0
  )
  return tf.cast(tf.reshape(scales, shape), like.dtype)


def masked(branch, inputs, shortcut, scales):
  """Runs the branch for every example and multiplies by the scale.

  Saves no work; the one execution with a gradient for the gates.

  Args:
    branch: callable, [batch, ...] -> [batch, ...].
    inputs: [batch, ...], the input of the block.
    shortcut: [batch, ...], in the shape of the branch's output.
    scales: float32 [batch], 0 where the gate is closed.

  Returns:
    A tensor in the shape and type of `shortcut`.
  """
  outputs = branch(inputs)
  return shortcut + _per_example(scales, outputs) * outputs


def routed(branch, inputs, shortcut, scales):
  """Runs the branch only for the examples whose gate is open.

  Three ways: where all examples are open, no gather or scatter is paid; where
  none is, nothing runs; else the open ones are gathered, run, and scattered
  back. Inference only. The shapes are dynamic: XLA pads them to the full
  batch, and TF-Lite cannot run them.

  Args:
    branch: callable, [batch, ...] -> [batch, ...].
    inputs: [batch, ...], the input of the block.
    shortcut: [batch, ...], in the shape of the branch's output.
    scales: float32 [batch], 0 where the gate is closed.

  Returns:
    A tensor in the shape and type of `shortcut`.
  """
  places = tf.where(scales > 0)
  num_open = tf.shape(places)[0]

  def run_some():
    indices = places[:, 0]
    outputs = branch(tf.gather(inputs, indices))
    outputs *= _per_example(tf.gather(scales, indices), outputs)
    return tf.tensor_scatter_nd_add(shortcut, places, outputs)

  outputs = tf.cond(
      tf.equal(num_open, tf.shape(scales)[0]),
      lambda: masked(branch, inputs, shortcut, scales),
      lambda: tf.cond(num_open > 0, run_some, lambda: shortcut),
  )
  return tf.ensure_shape(outputs, shortcut.shape)
