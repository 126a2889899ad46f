"""Where the examples of a split lie: in memory, in files, or in records.

A reader yields items, in order or shuffled; it reads an item, and can name
it. An item is a tuple of scalars.
"""

from collections.abc import Callable
import os

import tensorflow as tf

from image_data import datasets
from image_data import decoding
from image_data import image_folder

# How many records of a data set too large for memory are shuffled together.
_SHUFFLE_WINDOW = 16_384

# Permutations of one epoch that must not be the same.
_EXAMPLE_STREAM = 0
_FILE_STREAM = 1

# Of a count and a stream, to int32 [count].
Permute = Callable[[int | tf.Tensor, int], tf.Tensor]


class _Indexed:
  """A split whose items are indices of examples.

  Args:
    num_examples: how many there are.
  """

  def __init__(self, num_examples: int):
    self._num_examples = num_examples

  def in_order(self) -> tf.data.Dataset:
    """All items, in the order of the examples."""
    return _indices(tf.range(self._num_examples))

  def shuffled(self, permute: Permute) -> tf.data.Dataset:
    """All items, in the order of a permutation."""
    return _indices(permute(self._num_examples, _EXAMPLE_STREAM))


def _indices(indices):
  return tf.data.Dataset.from_tensor_slices((indices,))


class Arrays(_Indexed):
  """A split in memory; an item is an index.

  Args:
    images: uint8 [examples, height, width, channels].
    labels: int32 [examples].
  """

  can_fail = False

  def __init__(self, images: tf.Tensor, labels: tf.Tensor):
    super().__init__(len(labels))
    self._images, self._labels = images, labels

  def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns image, uint8 [height, width, channels], and label, int32 []."""
    return tf.gather(self._images, index), tf.gather(self._labels, index)


class Files(_Indexed):
  """A split of an `ImageFolder`; an item is an index.

  Args:
    folder: the `ImageFolder`.
    split: "train", "validation" or "test".
    encoded: whether images stay as they are in their files.
  """

  can_fail = True

  def __init__(
      self, folder: image_folder.ImageFolder, split: str, *, encoded: bool
  ):
    paths, labels = folder.files(split)
    super().__init__(len(paths))
    # As bytes: not every name of a file is UTF-8.
    self._paths = tf.constant([os.fsencode(path) for path in paths])
    self._labels = tf.constant(labels, tf.int32)
    self._encoded = encoded
    self._channels = folder.image_shape[-1]
    self._rules = folder.decoding_rules

  def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the image, or its bytes, and the label, int32 []."""
    image = tf.io.read_file(tf.gather(self._paths, index))
    if not self._encoded:
      image = decoding.traced(self._channels, self._rules)(image)
    return image, tf.gather(self._labels, index)

  def name(self, index: tf.Tensor) -> tf.Tensor:
    """The path of an item's file, string []."""
    return tf.gather(self._paths, index)


class Records:
  """A split of TFRecord files; an item is (file, place in it, record).

  Args:
    dataset: the data set.
    split: "train", "validation" or "test".
    encoded: whether images stay as they are in their records.
  """

  can_fail = True

  def __init__(
      self, dataset: datasets.ImageDataset, split: str, *, encoded: bool
  ):
    files = dataset.file_instructions(split)
    self._names = tf.constant([str(file.filename) for file in files])
    self._skips = tf.constant([file.skip for file in files], tf.int64)
    self._takes = tf.constant([file.take for file in files], tf.int64)
    self._decode = dataset.encoded if encoded else dataset.decode

  def in_order(self) -> tf.data.Dataset:
    """All items, in an order that is always the same; files take turns."""
    return self._items(tf.range(len(self._names)))

  def shuffled(self, permute: Permute) -> tf.data.Dataset:
    """All items, shuffled by file, and within a window of records.

    `tf.data.Dataset.shuffle` would mix TensorFlow's global seed into the order.
    """
    items = self._items(permute(len(self._names), _FILE_STREAM))

    def shuffle_window(*window):
      places = permute(tf.size(window[0]), _EXAMPLE_STREAM)
      return tuple(tf.gather(part, places) for part in window)

    windows = items.batch(_SHUFFLE_WINDOW).map(shuffle_window)
    return windows.prefetch(1).unbatch()

  def read(
      self, file: tf.Tensor, place: tf.Tensor, record: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the image, or its bytes, and the label, int32 []."""
    del file, place
    return self._decode(record)

  def name(
      self, file: tf.Tensor, place: tf.Tensor, record: tf.Tensor
  ) -> tf.Tensor:
    """Says where an item lies, string []."""
    del record
    path = tf.gather(self._names, file)
    return tf.strings.join([path, ", record ", tf.strings.as_string(place)])

  def _items(self, order):
    def records_of(file):
      skip = tf.gather(self._skips, file)
      records = tf.data.TFRecordDataset(tf.gather(self._names, file))
      records = records.skip(skip).take(tf.gather(self._takes, file))
      return records.enumerate(start=skip).map(
          lambda place, record: (file, place, record)
      )

    return tf.data.Dataset.from_tensor_slices(order).interleave(
        records_of,
        cycle_length=16,
        block_length=16,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


Reader = Arrays | Files | Records


def open_reader(
    dataset: datasets.ImageDataset | image_folder.ImageFolder,
    split: str,
    *,
    encoded: bool = False,
) -> Reader:
  """Finds where the examples of a split lie.

  Args:
    dataset: the data set.
    split: "train", "validation" or "test".
    encoded: whether images that are read from files stay encoded.

  Returns:
    `Arrays`, `Files` or `Records`.
  """
  if dataset.fits_in_memory(split):
    return Arrays(*dataset.arrays(split))
  if isinstance(dataset, image_folder.ImageFolder):
    return Files(dataset, split, encoded=encoded)
  return Records(dataset, split, encoded=encoded)
