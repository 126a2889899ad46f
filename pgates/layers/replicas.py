"""An example's place in the global batch, under any `tf.distribute` strategy.

Replicas may hold different numbers of examples, or none, so places cannot be
derived from a replica's number: the counts are gathered once per step.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import threading
from typing import Any

import keras
import tensorflow as tf

from pgates.layers import keras_masks

_current = threading.local()  # MirroredStrategy: one thread per replica.


@dataclasses.dataclass(frozen=True)
class BatchPlace:
  """Where this replica's examples stand in the global batch.

  Args:
    offset: int32 scalar, place of this replica's first example.
    size: int32 scalar, examples in the global batch.
    local_size: int32 scalar, examples on this replica.
  """

  offset: Any
  size: Any
  local_size: Any


def num_replicas() -> int:
  """Replicas that run this code in step; 1 outside of a replica context."""
  context = tf.distribute.get_replica_context()
  return 1 if context is None else context.num_replicas_in_sync


def sum_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
  """Sums a tensor over replicas; differentiable; the identity on one."""
  if num_replicas() == 1:
    return tensor
  context = tf.distribute.get_replica_context()
  return context.all_reduce(tf.distribute.ReduceOp.SUM, tensor)


def batch_place(local_size: int | tf.Tensor) -> BatchPlace:
  """Gathers where `local_size` local examples stand in the global batch."""
  if num_replicas() == 1:
    return BatchPlace(offset=0, size=local_size, local_size=local_size)
  context = tf.distribute.get_replica_context()
  replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
  places = tf.range(context.num_replicas_in_sync)
  sizes = tf.where(places == replica, local_size, 0)
  sizes = context.all_reduce(tf.distribute.ReduceOp.SUM, sizes)
  return BatchPlace(
      offset=tf.reduce_sum(tf.where(places < replica, sizes, 0)),
      size=tf.reduce_sum(sizes),
      local_size=local_size,
  )


@contextlib.contextmanager
def global_batch(local_size: int | tf.Tensor) -> Iterator[BatchPlace]:
  """Gathers the place once, for all gates called inside of the `with`.

  Args:
    local_size: int32 scalar, examples on this replica.

  Yields:
    The `BatchPlace`.
  """
  previous = current_batch()
  _current.place = batch_place(local_size)
  try:
    yield _current.place
  finally:
    _current.place = previous


def current_batch() -> BatchPlace | None:
  """The `BatchPlace` of the innermost `global_batch`, or None."""
  return getattr(_current, "place", None)


def batch_offset(local_size: int | tf.Tensor) -> int | tf.Tensor:
  """Place of the first local example; gathers it outside of `global_batch`."""
  place = current_batch() or batch_place(local_size)
  return place.offset


def call_on_some(
    function: Callable[[Any], Any], inputs: Any, local_size: int | tf.Tensor
) -> Any:
  """Calls a function on a batch that may be empty on this replica.

  Convolutions of TensorFlow 2.21 on an empty batch return the shape of their
  input on CPUs (oneDNN). Under several replicas, an empty batch is given one
  example of zeros, which is cut off the outputs again. Our batch norms leave
  it out of their statistics.

  Args:
    function: tensors [batch, ...] -> nested tensors [batch, ...].
    inputs: nested tensors [batch, ...].
    local_size: int32 scalar, the batch size on this replica.

  Returns:
    The outputs of the function, [local_size, ...].
  """
  if num_replicas() == 1:
    return function(inputs)
  missing = tf.cast(tf.equal(local_size, 0), tf.int32)
  padded = keras.tree.map_structure(lambda x: pad_batch(x, missing), inputs)

  def cut(output):
    mask = keras_masks.mask_of(output)
    cut_mask = None if mask is None else mask[:local_size]
    return keras_masks.with_mask(output[:local_size], cut_mask)

  return keras.tree.map_structure(cut, function(padded))


def pad_batch(tensor: tf.Tensor, num_rows: int | tf.Tensor) -> tf.Tensor:
  """Appends `num_rows` examples of zeros to [batch, ...]."""
  padding = [[0, num_rows]] + [[0, 0]] * (tensor.shape.rank - 1)
  return tf.pad(tensor, padding)
