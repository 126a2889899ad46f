"""The endless, resumable order of the training examples."""

import functools

import tensorflow as tf

from image_data import datasets
from image_data import image_folder

# Permutations of one epoch that must not be the same.
_EXAMPLE_STREAM = 0
_FILE_STREAM = 1

# How many records of a data set too large for memory are shuffled together.
_SHUFFLE_WINDOW = 16_384

_READ_AHEAD = 256  # Records.

_MAX_EPOCHS = 2**31


def shuffled_examples(
    dataset: datasets.ImageDataset,
    *,
    seed: int,
    examples_per_epoch: int,
    first_example: int,
    encoded: bool = False,
) -> tf.data.Dataset:
  """Returns the training examples, epoch after epoch without end.

  The order of an epoch depends on `seed` and the epoch alone. What is skipped
  is not decoded. A data set that fits in memory is shuffled as a whole; a
  larger one by file, and within a window of records.

  Args:
    dataset: the data set.
    seed: seed of the order.
    examples_per_epoch: how many examples of an epoch are used; the last ones
      of its order are left out.
    first_example: number of examples to skip.
    encoded: whether images that are read from files stay encoded.

  Returns:
    A data set of (position, image, label). The position is epoch * (number of
    examples) + place in the epoch, int64 scalar; the image is uint8 [height,
    width, channels], or its bytes, a string scalar; the label is an int32
    scalar.
  """
  count = dataset.num_examples("train")
  first_epoch, first_place = divmod(first_example, examples_per_epoch)
  if dataset.fits_in_memory("train"):
    read = _shuffled_indices
    decode = functools.partial(_example_at, arrays=dataset.arrays("train"))
  elif isinstance(dataset, image_folder.ImageFolder):
    read = _shuffled_indices
    decode = dataset.reader("train", encoded=encoded)
  else:
    read = _shuffled_records
    decode = dataset.encoded if encoded else dataset.decode

  def read_epoch(epoch):
    items = read(dataset, seed=seed, epoch=epoch)
    items = items.enumerate(start=epoch * count).take(examples_per_epoch)
    num_skipped = tf.where(epoch == first_epoch, first_place, 0)
    return items.skip(tf.cast(num_skipped, tf.int64))

  items = tf.data.Dataset.range(first_epoch, _MAX_EPOCHS).flat_map(read_epoch)
  # While the next window is read, these are decoded.
  items = items.prefetch(_READ_AHEAD)
  return items.map(
      lambda position, item: (position, *decode(item)),
      num_parallel_calls=tf.data.AUTOTUNE,
  )


def _example_at(
    index: tf.Tensor, *, arrays: tuple[tf.Tensor, tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
  images, labels = arrays
  return tf.gather(images, index), tf.gather(labels, index)


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


def _shuffled_indices(
    dataset: datasets.ImageDataset, *, seed: int, epoch: tf.Tensor
) -> tf.data.Dataset:
  """The indices of the examples of "train" in the order of an epoch."""
  count = dataset.num_examples("train")
  return tf.data.Dataset.from_tensor_slices(
      _permutation(count, seed=seed, epoch=epoch, stream=_EXAMPLE_STREAM)
  )


def _shuffled_records(
    dataset: datasets.ImageDataset, *, seed: int, epoch: tf.Tensor
) -> tf.data.Dataset:
  """The serialised examples of "train" in the order of an epoch.

  `tf.data.Dataset.shuffle` would mix TensorFlow's global seed into the order.
  """
  files = dataset.file_instructions("train")
  order = _permutation(len(files), seed=seed, epoch=epoch, stream=_FILE_STREAM)
  names = tf.constant([str(file.filename) for file in files])
  skips = tf.constant([file.skip for file in files], tf.int64)
  takes = tf.constant([file.take for file in files], tf.int64)
  columns = tuple(tf.gather(column, order) for column in (names, skips, takes))
  records = tf.data.Dataset.from_tensor_slices(columns).interleave(
      lambda name, skip, take: (
          tf.data.TFRecordDataset(name).skip(skip).take(take)
      ),
      cycle_length=16,
      block_length=16,
      num_parallel_calls=tf.data.AUTOTUNE,
      deterministic=True,
  )

  def shuffle_window(window):
    places = _permutation(
        tf.size(window), seed=seed, epoch=epoch, stream=_EXAMPLE_STREAM
    )
    return tf.gather(window, places)

  windows = records.batch(_SHUFFLE_WINDOW).map(shuffle_window)
  return windows.prefetch(1).unbatch()
