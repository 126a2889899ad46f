"""The task loss: Keras's losses of a model's outputs, over the global batch.

On one replica, the loss of an output is what `loss(labels, outputs, weights)`
of Keras returns. Of several, each computes the values of its own examples, and
what they are divided by is summed over the replicas.
"""

from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pgates.layers import keras_masks
from pgates.layers import replicas

_NO_SPLIT = (
    "{name} computes one loss for its batch, not one for each example, so that "
    "it cannot be split over {count} replicas. Train on one device, or compile "
    "with a loss whose `call` returns a value for each example."
)


def by_output(
    loss: keras.losses.Loss | dict[str, keras.losses.Loss] | None,
    names: Iterable[str],
) -> dict[str, keras.losses.Loss]:
  """The losses that were given to `compile`, by the outputs they are of.

  Args:
    loss: a `keras.losses.Loss` of the output `"logits"`; a dictionary of them
      by the names of outputs; None for sparse categorical cross-entropy.
    names: of the model's outputs.

  Returns:
    A dictionary, not empty.

  Raises:
    ValueError: if something is no loss of logits, or has no output.
  """
  if loss is None:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  losses = loss if isinstance(loss, dict) else {"logits": loss}
  unknown = sorted(set(losses) - set(names))
  if unknown or not losses:
    raise ValueError(
        f"`loss` may name the outputs {sorted(names)}. Received: "
        f"{unknown or losses}"
    )
  for name, each in losses.items():
    _check(each, name)
  return losses


def _check(loss, name):
  # Other outputs may be probabilities.
  of_logits = name != "logits" or (
      isinstance(loss, keras.losses.Loss)
      and loss.get_config().get("from_logits", True)
  )
  if not isinstance(loss, keras.losses.Loss) or not of_logits:
    raise ValueError(
        "`loss` must be a keras.losses.Loss of logits, such as "
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True), or a "
        "dictionary of them by the names of outputs. Received for the output "
        f"{name!r}: {loss!r}"
    )
  if loss.reduction in (None, "none"):
    raise ValueError("`loss` must reduce to a scalar. Received: reduction=none")


def by_name(
    values: Any, names: Sequence[str], *, what: str
) -> dict[str, tf.Tensor]:
  """What a data set holds for each output: its labels, or its weights.

  Args:
    values: a tensor for the one output of `names`, or a dictionary.
    names: of the outputs that are asked for.
    what: how an error calls the values.

  Returns:
    A dictionary of tensors with the keys `names`.

  Raises:
    ValueError: if there are none, or not for each of the names.
  """
  if values is None:
    raise ValueError(
        f"The {what} are missing: the outputs {list(names)} have a loss. Give "
        "batches of (images, labels) or (images, labels, sample_weights)."
    )
  if isinstance(values, dict):
    missing = [name for name in names if name not in values]
    if missing:
      raise ValueError(
          f"There are no {what} for the outputs {missing}. Received those of: "
          f"{sorted(values)}"
      )
    return {name: tf.convert_to_tensor(values[name]) for name in names}
  if len(names) > 1 or isinstance(values, (list, tuple)):
    raise ValueError(
        f"Give the {what} as a dictionary by the names of outputs, "
        f"{list(names)}. Received: {values}"
    )
  return {name: tf.convert_to_tensor(values) for name in names}


def share(
    loss: keras.losses.Loss,
    labels: tf.Tensor,
    outputs: tf.Tensor,
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
  """This replica's share of the loss of one output.

  Args:
    loss: a `keras.losses.Loss`.
    labels: [batch, ...], on this replica.
    outputs: [batch, ...].
    weights: sample weights, in the shape of the loss's values or the first of
      their axes (one for each example, for losses by pixel); or None.

  Returns:
    A scalar. Its sum over replicas is the loss of the global batch.

  Raises:
    ValueError: if there are several replicas and the loss is over its batch.
  """
  values, mask = _values(loss, labels, outputs)
  if values is None or values.shape.rank == 0:
    count = replicas.num_replicas()
    if count > 1:
      raise ValueError(_NO_SPLIT.format(name=_name(loss), count=count))
    return loss(labels, outputs, sample_weight=weights)
  values = tf.cast(values, keras.backend.result_type(values.dtype, "float32"))
  used = _used(values, weights, mask)
  total = tf.reduce_sum(values if used is None else values * used)
  if loss.reduction == "sum":
    return total
  if loss.reduction == "mean_with_sample_weight" and used is not None:
    count = tf.reduce_sum(used)
  elif mask is not None:
    count = tf.reduce_sum(tf.cast(mask, values.dtype))
  else:
    count = tf.cast(tf.size(values), values.dtype)
  return tf.math.divide_no_nan(total, replicas.sum_over_replicas(count))


def _values(loss, labels, outputs):
  """The loss's own values, not reduced, and the mask of those that count."""
  if type(loss).__call__ is not keras.losses.Loss.__call__:
    return None, None  # What it does is known to itself alone.
  before = keras_masks.mask_of(outputs)
  values = loss.call(
      keras.ops.convert_to_tensor(labels, dtype=loss.dtype),
      keras.ops.convert_to_tensor(outputs, dtype=loss.dtype),
  )
  after = keras_masks.mask_of(values)
  if before is None or after is None:
    return values, after if before is None else before
  return values, before & after


def _used(values, weights, mask):
  """Weights and mask in one, in a shape that multiplies the values."""
  used = None
  if weights is not None:
    used = aligned(tf.cast(weights, values.dtype), values.shape.rank)
    if weights.shape.rank < values.shape.rank:
      # One for each example: all its values weigh as much.
      used = tf.broadcast_to(used, tf.shape(values))
  if mask is not None:
    mask = aligned(tf.cast(mask, values.dtype), values.shape.rank)
    used = mask if used is None else used * mask
  return used


def aligned(factor: tf.Tensor, rank: int) -> tf.Tensor:
  """[batch] or [batch, 1] as [batch, 1, ..., 1] of a rank."""
  while factor.shape.rank > rank:
    factor = tf.squeeze(factor, axis=-1)
  while factor.shape.rank < rank:
    factor = tf.expand_dims(factor, axis=-1)
  return factor


def check_fits(
    loss: keras.losses.Loss, output: keras.KerasTensor, *, num_replicas: int
) -> None:
  """Raises a ValueError unless a loss can be computed of an output.

  Labels are not known when a model is compiled: synthetic ones are tried, as
  class indices and in the shape of the output.

  Args:
    loss: a `keras.losses.Loss`.
    output: the KerasTensor [batch, ...] that it is of.
    num_replicas: over which batches will be split.

  Raises:
    ValueError: if a loss of Keras cannot be computed of that shape, or one
      that is not made of its examples' losses is to be split.
  """
  size = 2 + max([dim or 2 for dim in output.shape[1:]], default=0)
  size += size % 2
  shape = (size, *(dim or 2 for dim in output.shape[1:]))
  generator = np.random.default_rng(0)
  outputs = tf.constant(generator.uniform(0.1, 0.9, shape), tf.float32)
  classes = generator.integers(0, shape[-1], shape[:-1])
  for labels in (classes, np.eye(shape[-1])[classes]):
    labels = tf.constant(labels)
    try:
      values, _ = _values(loss, labels, outputs)
      first, _ = _values(loss, labels[:2], outputs[:2])
    except Exception:  # Whatever a user's loss raises at such labels.
      continue
    if num_replicas > 1 and not _is_part(first, values):
      raise ValueError(_NO_SPLIT.format(name=_name(loss), count=num_replicas))
    return
  if type(loss).__module__.startswith("keras."):
    raise ValueError(
        f"{_name(loss)} cannot be computed of an output of the shape "
        f"{tuple(output.shape)}."
    )


def _is_part(first, values):
  """Whether the first examples' values do not depend on the others'."""
  if values is None or values.shape.rank == 0:
    return False
  if first.shape != (2, *values.shape[1:]):
    return False
  return np.allclose(first, values[:2], rtol=1e-4, atol=1e-5)


def _name(loss):
  return type(loss).__name__
