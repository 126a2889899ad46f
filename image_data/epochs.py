"""The endless, resumable order of the training examples."""

import tensorflow as tf

from image_data import readers

_READ_AHEAD = 256  # Items.

_MAX_EPOCHS = 2**31


def shuffled_items(
    reader: readers.Reader,
    *,
    num_examples: int,
    seed: int,
    examples_per_epoch: int,
    first_example: int,
) -> tf.data.Dataset:
  """Returns the training examples, epoch after epoch without end.

  The order of an epoch depends on `seed` and the epoch alone. A data set that
  fits in memory is shuffled as a whole; a larger one by file, and within a
  window of records.

  Args:
    reader: of the training examples.
    num_examples: how many there are.
    seed: seed of the order.
    examples_per_epoch: how many examples of an epoch are used; the last ones
      of its order are omitted.
    first_example: number of examples to skip.

  Returns:
    A data set of (position, *item), not read yet. The position is epoch *
    (number of examples) + place in the epoch, int64 scalar.
  """
  first_epoch, first_place = divmod(first_example, examples_per_epoch)

  @tf.autograph.experimental.do_not_convert
  def items_of_epoch(epoch):
    items = reader.shuffled(
        lambda num, stream: _permutation(
            num, seed=seed, epoch=epoch, stream=stream
        )
    )
    items = items.enumerate(start=epoch * num_examples).take(examples_per_epoch)
    num_skipped = tf.where(epoch == first_epoch, first_place, 0)
    return items.skip(tf.cast(num_skipped, tf.int64))

  items = tf.data.Dataset.range(first_epoch, _MAX_EPOCHS)
  items = items.flat_map(items_of_epoch)
  # While the next window is read, these are decoded.
  items = items.prefetch(_READ_AHEAD)
  return items.map(lambda position, item: (position, *item))


def _permutation(
    count: int | tf.Tensor, *, seed: int, epoch: tf.Tensor, stream: int
) -> tf.Tensor:
  """Returns the permutation of (seed, epoch, stream), int32 [count].

  `tf.random.experimental.index_shuffle` would need no sorting, but its
  permutations of successive epochs are correlated.
  """
  key = tf.random.fold_in(tf.constant([seed, stream], tf.int64), epoch)
  random = tf.random.stateless_uniform(
      [count], seed=key, minval=None, maxval=None, dtype=tf.int64
  )
  return tf.argsort(random)
