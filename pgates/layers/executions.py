"""Executions: what a decision does to the work of a residual block.

Each computes `activation(shortcut + scales * branch(inputs))` for the examples
whose gate is open, and `closed(shortcut)` for the others. The activation is
done here, where the engines fuse it into the last convolution of the branch.
"""

from collections.abc import Callable

import tensorflow as tf

EXECUTIONS = ("masked", "routed", "conditional")


def check_execution(execution: str) -> None:
  """Raises a ValueError for a name that no execution has."""
  if execution not in EXECUTIONS:
    raise ValueError(
        f"`execution` must be one of {EXECUTIONS}. Received: {execution!r}"
    )


def _scaled(outputs, scales):
  """Multiplies [batch, ...] by [batch]; as it is where there is no scale."""
  if scales is None:
    return outputs
  ones = tf.ones(outputs.shape.rank - 1, tf.int32)
  scales = tf.reshape(scales, tf.concat([tf.shape(scales), ones], axis=0))
  # 0 * inf is 0: a closed gate leaves the shortcut, whatever the branch says.
  return tf.math.multiply_no_nan(outputs, tf.cast(scales, outputs.dtype))


def masked(
    branch: Callable[[tf.Tensor], tf.Tensor],
    inputs: tf.Tensor,
    shortcut: tf.Tensor,
    gates: tf.Tensor,
    scales: tf.Tensor | None = None,
    *,
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    scaled_branch: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
  """Runs the branch for every example and multiplies by the gate.

  Saves no work; the one execution with a gradient for the gates.

  Args:
    branch: callable, [batch, ...] -> [batch, ...].
    inputs: [batch, ...], the input of the block.
    shortcut: [batch, ...], in the shape of the branch's output.
    gates: float32 [batch], 1 where the block runs, else 0.
    scales: float32 [batch], what the branch of an open gate is multiplied by;
      None for 1.
    activation: callable, after the addition.
    scaled_branch: callable of inputs and [batch], the branch multiplied by it,
      where that is cheaper than to multiply its output; or None.

  Returns:
    A tensor in the shape and type of `shortcut`.
  """
  scales = gates if scales is None else scales
  if scaled_branch is not None:
    return activation(shortcut + scaled_branch(inputs, scales))
  return activation(shortcut + _scaled(branch(inputs), scales))


def routed(
    branch: Callable[[tf.Tensor], tf.Tensor],
    inputs: tf.Tensor,
    shortcut: tf.Tensor,
    gates: tf.Tensor,
    scales: tf.Tensor | None = None,
    *,
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    closed: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
  """Runs the branch only for the examples whose gate is open.

  Three ways: where all examples are open, no gather or scatter is paid; where
  none is, nothing runs; else the open ones are gathered, run, and scattered
  back. Inference only. The shapes are dynamic: XLA pads them to the full
  batch, and TF-Lite cannot run them.

  Args:
    branch: callable, [batch, ...] -> [batch, ...].
    inputs: [batch, ...], the input of the block.
    shortcut: [batch, ...], in the shape of the branch's output.
    gates: float32 [batch], 1 where the block runs, else 0.
    scales: float32 [batch], what the branch of an open gate is multiplied by;
      None for 1.
    activation: callable, after the addition.
    closed: the activation of the closed examples, where `activation` would
      change nothing and something cheaper does; else `activation`.

  Returns:
    A tensor in the shape and type of `shortcut`.
  """
  closed = closed or activation
  is_open = gates > 0
  all_open = tf.reduce_all(is_open)

  def gather(tensor):
    return tf.gather(tensor, tf.where(is_open)[:, 0])

  def choose(tensor):
    chosen = tf.cond(all_open, lambda: tensor, lambda: gather(tensor))
    return tf.ensure_shape(chosen, [None, *tensor.shape[1:]])

  def run():
    # The branch stands here once, for all and for some: a graph with constant
    # weights then holds them once.
    chosen = choose(inputs)
    base = chosen if shortcut is inputs else choose(shortcut)
    outputs = branch(chosen)
    if scales is not None:
      outputs = _scaled(outputs, gather(scales))
    outputs = activation(base + outputs)
    return tf.cond(
        all_open,
        lambda: outputs,
        lambda: tf.tensor_scatter_nd_update(
            closed(shortcut), tf.where(is_open), outputs
        ),
    )

  outputs = tf.cond(tf.reduce_any(is_open), run, lambda: closed(shortcut))
  return tf.ensure_shape(outputs, shortcut.shape)


def conditional(
    branch: Callable[[tf.Tensor], tf.Tensor],
    inputs: tf.Tensor,
    shortcut: tf.Tensor,
    gates: tf.Tensor,
    scales: tf.Tensor | None = None,
    *,
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
    closed: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
  """Runs the branch if the gate of the one example is open.

  For batches of one, where shapes must be static: TF-Lite. Inference only.

  Args:
    branch: callable, [1, ...] -> [1, ...].
    inputs: [1, ...], the input of the block.
    shortcut: [1, ...], in the shape of the branch's output.
    gates: float32 [1], 1 where the block runs, else 0.
    scales: float32 [1], what the branch of an open gate is multiplied by;
      None for 1.
    activation: callable, after the addition.
    closed: the activation of the closed examples, where `activation` would
      change nothing and something cheaper does; else `activation`.

  Returns:
    A tensor in the shape and type of `shortcut`.
  """
  closed = closed or activation
  outputs = tf.cond(
      tf.squeeze(gates, 0) > 0,
      lambda: activation(shortcut + _scaled(branch(inputs), scales)),
      lambda: closed(shortcut),
  )
  return tf.ensure_shape(outputs, shortcut.shape)
