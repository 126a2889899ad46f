"""Batches to train on and to evaluate on, reproducible and resumable."""

import numbers
import socket
import threading

import tensorflow as tf

from image_data import augmentations
from image_data import bad_examples as bad_examples_lib
from image_data import datasets
from image_data import epochs
from image_data import preparation
from image_data import readers

_SERVICE_SECONDS = 30  # For the first element of a `tf.data` service.


def steps_per_epoch(dataset: datasets.ImageDataset, *, batch_size: int) -> int:
  """Returns the number of full batches in the training examples.

  Args:
    dataset: the data set.
    batch_size: number of examples of a (global) batch.

  Raises:
    ValueError: if there are fewer examples than one batch.
  """
  _check_integer("batch_size", batch_size, minimum=1)
  num_examples = dataset.num_examples("train")
  if num_examples < batch_size:
    raise ValueError(
        f"batch_size={batch_size} is larger than the {num_examples} training"
        f" examples of {dataset.name}. Expected at most {num_examples}."
    )
  return num_examples // batch_size


def train_batches(
    dataset: datasets.ImageDataset,
    *,
    batch_size: int,
    seed: int,
    image_size: int | None = None,
    augmentation: str = "none",
    rand_augment: float = 0.0,
    first_step: int = 0,
    bad_examples: bad_examples_lib.BadExamples | None = None,
    data_service: str | None = None,
) -> tf.data.Dataset:
  """Returns an endless sequence of shuffled, augmented training batches.

  An epoch holds every training example once, but for those of the last
  incomplete batch, in an order that depends on `seed` and the epoch alone.
  An augmentation depends on `seed`, the epoch, and the example's place in it.
  Hence a sequence that starts at `first_step` is what one that starts at 0
  yields from there. Steps that are skipped cost no decoding. The place of an
  example that cannot be read is taken by another of its batch.

  Examples of a data set too large for memory are shuffled by file and within
  a window of some thousands; of JPEG files that are cropped ("crop_flip"), the
  part alone is decoded.

  Args:
    dataset: the data set.
    batch_size: number of examples of a (global) batch.
    seed: seed of order and augmentation.
    image_size: side in pixels to which images are resized, bilinear with
      antialiasing, before they are augmented; None keeps their size.
    augmentation: a name in `AUGMENTATIONS`: "none", "shift" (by up to an
      eighth of each side), "shift_flip" (and mirrored, as for CIFAR), or
      "crop_flip" (a random part, resized, and mirrored, as for ImageNet).
    rand_augment: magnitude of RandAugment behind it, in [0, 1]; 0 for none.
    first_step: number of batches to skip.
    bad_examples: counts examples that cannot be read; None for one of its own.
    data_service: address of a `tf.data` service's dispatcher, as in
      "grpc://host:5000", whose workers then read and augment. They must find
      the files where this process would. With one worker the batches are the
      same; of several, each makes whole epochs, and these mix.

  Returns:
    A data set of (images, float32 [batch, height, width, channels] in
    [0, 255]; labels, int32 [batch]).

  Raises:
    ValueError: for an argument out of range, an unknown augmentation, or
      images of different shapes without `image_size`; or if no service
      answers.
  """
  num_steps = steps_per_epoch(dataset, batch_size=batch_size)
  _check_integer("seed", seed)
  _check_integer("first_step", first_step, minimum=0)
  _check_image_size(dataset, image_size)
  cropping = augmentation in augmentations.CROPPING
  reader = readers.open_reader(dataset, "train", encoded=cropping)
  prepare = preparation.for_training(
      dataset.image_shape,
      seed=seed,
      image_size=image_size,
      augmentation=augmentation,
      rand_augment=rand_augment,
  )
  items = epochs.shuffled_items(
      reader,
      num_examples=dataset.num_examples("train"),
      seed=seed,
      examples_per_epoch=num_steps * batch_size,
      first_example=first_step * batch_size,
  )

  def read(position, *item):
    image, label = reader.read(*item)
    return prepare(image, position), label

  if reader.can_fail:
    examples = bad_examples_lib.read_each(
        items,
        _with_checked_label(read, dataset.num_classes),
        lambda _, *item: reader.name(*item),
    )
  else:
    examples = items.map(read, num_parallel_calls=tf.data.AUTOTUNE)
  batches = examples.batch(batch_size, drop_remainder=True)
  if data_service is not None:
    batches = _served(batches, data_service)
  if reader.can_fail:
    counted = bad_examples or bad_examples_lib.BadExamples()
    batches = bad_examples_lib.replace(batches, counted)
  return _finish(batches)


def eval_batches(
    dataset: datasets.ImageDataset,
    split: str,
    *,
    batch_size: int,
    image_size: int | None = None,
    bad_examples: bad_examples_lib.BadExamples | None = None,
) -> tf.data.Dataset:
  """Returns a split once, in an order that is always the same.

  Examples that cannot be read are left out.

  Args:
    dataset: the data set.
    split: "train", "validation" or "test".
    batch_size: number of examples of a (global) batch; the last may be smaller.
    image_size: side in pixels to which images are resized, bilinear with
      antialiasing; of images that differ in size, the middle is cut out
      (`center_crop`). None keeps their size.
    bad_examples: counts examples that cannot be read; None for one of its own.

  Returns:
    A data set of (images, float32 [batch, height, width, channels] in
    [0, 255]; labels, int32 [batch]).

  Raises:
    ValueError: for an argument out of range, an unknown split, or images of
      different shapes without `image_size`.
  """
  _check_integer("batch_size", batch_size, minimum=1)
  _check_image_size(dataset, image_size)
  reader = readers.open_reader(dataset, split)

  def read(*item):
    image, label = reader.read(*item)
    image = preparation.for_evaluation(
        image, image_size=image_size, equal_shapes=dataset.has_equal_shapes
    )
    return image, label

  items = reader.in_order()
  if reader.can_fail:
    examples = bad_examples_lib.read_each(
        items, _with_checked_label(read, dataset.num_classes), reader.name
    )
    counted = bad_examples or bad_examples_lib.BadExamples()
    examples = bad_examples_lib.drop(examples, counted)
  else:
    examples = items.map(read, num_parallel_calls=tf.data.AUTOTUNE)
  return _finish(examples.batch(batch_size))


def _with_checked_label(read, num_classes):
  """Lets a function fail where the label is out of range, too."""

  def read_and_check(*item):
    image, label = read(*item)
    is_class = (0 <= label) & (label < num_classes)
    with tf.control_dependencies([tf.debugging.Assert(is_class, [label])]):
      return image, tf.identity(label)

  return read_and_check


def _served(batches, address):
  """Lets the workers of a `tf.data` service make batches."""
  _check_answers(address)
  service = tf.data.experimental.service
  return _in_order(batches).apply(
      service.distribute(
          # By epochs, which are what the data set begins with.
          processing_mode=service.ShardingPolicy.DYNAMIC,
          service=address,
      )
  )


def _check_answers(address):
  """TensorFlow would wait for ever, for a dispatcher and for its workers."""
  protocol, _, place = address.partition("://")
  host, _, port = place.rpartition(":")
  try:
    if protocol != "grpc" or not host:
      raise ValueError("not of the form grpc://host:port")
    socket.create_connection((host, int(port)), timeout=10).close()
    _check_delivers(address)
  except (OSError, ValueError) as error:
    raise ValueError(
        f"No tf.data service answers at {address!r}: {error}. Expected its "
        "dispatcher's address, as in grpc://host:5000."
    ) from error


def _check_delivers(address):
  service = tf.data.experimental.service
  example = tf.data.Dataset.range(1).apply(
      service.distribute(
          processing_mode=service.ShardingPolicy.OFF, service=address
      )
  )
  # No call of TensorFlow's here takes a time limit. The thread may stay behind.
  thread = threading.Thread(target=lambda: list(example), daemon=True)
  thread.start()
  thread.join(_SERVICE_SECONDS)
  if thread.is_alive():
    raise ValueError(
        f"nothing was delivered within {_SERVICE_SECONDS} s; does the "
        "dispatcher have workers?"
    )


def _finish(batches: tf.data.Dataset) -> tf.data.Dataset:
  return _in_order(batches).prefetch(tf.data.AUTOTUNE)


def _in_order(dataset: tf.data.Dataset) -> tf.data.Dataset:
  options = tf.data.Options()
  options.deterministic = True
  # By data, so that the workers of a job together see each global batch once.
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.DATA
  )
  return dataset.with_options(options)


def _check_integer(name: str, value: int, *, minimum: int | None = None):
  is_integer = isinstance(value, numbers.Integral)
  if not is_integer or (minimum is not None and value < minimum):
    bound = "" if minimum is None else f" of at least {minimum}"
    raise ValueError(f"Expected {name} to be an integer{bound}; got {value!r}.")


def _check_image_size(dataset: datasets.ImageDataset, image_size: int | None):
  if image_size is not None:
    _check_integer("image_size", image_size, minimum=1)
  elif not dataset.has_equal_shapes:
    raise ValueError(
        f"The images of {dataset.name} differ in shape"
        f" {dataset.image_shape}, and image_size is None. Pass image_size, the"
        " side in pixels to which all are resized."
    )
