"""Batches to train on and to evaluate on, reproducible and resumable.

Examples of a data set too large for memory are shuffled by file and within a
window of some thousands; of JPEG files that are cropped ("crop_flip"), the part
alone is decoded. In training, the place of an example that cannot be read is
taken by another of its batch; in evaluation it is omitted.

A `tf.data` service may read and augment in this process's place: its workers
must find the files where this process would. With one worker the batches are
the same; of several, each makes whole epochs, and these mix.

Nothing of it is written for AutoGraph, which takes seconds to look through it.
"""

import tensorflow as tf

from image_data import argument_checks
from image_data import bad_examples as bad_examples_lib
from image_data import data_service as data_service_lib
from image_data import datasets
from image_data import epochs
from image_data import preparation as preparation_lib
from image_data import readers

_AS_STORED = preparation_lib.TrainingPreparation()


def steps_per_epoch(dataset: datasets.ImageDataset, *, batch_size: int) -> int:
  """Returns the number of full batches in the training examples.

  Args:
    dataset: the data set.
    batch_size: number of examples of a (global) batch.

  Raises:
    ValueError: if there are fewer examples than one batch.
  """
  argument_checks.check_integer("batch_size", batch_size, minimum=1)
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
    preparation: preparation_lib.TrainingPreparation = _AS_STORED,
    first_step: int = 0,
    bad_examples: bad_examples_lib.BadExamples | None = None,
    data_service: str | None = None,
) -> tf.data.Dataset:
  """Returns an endless sequence of shuffled, augmented training batches.

  An epoch holds every training example once, but for those of the last
  incomplete batch, in an order that depends on `seed` and the epoch alone.
  An augmentation depends on `seed`, the epoch, and the example's place in it.
  Hence a sequence that starts at `first_step` is what one that starts at 0
  yields from there. Steps that are skipped cost no decoding.

  Args:
    dataset: the data set.
    batch_size: number of examples of a (global) batch.
    seed: seed of order and augmentation.
    preparation: how images are resized and augmented.
    first_step: number of batches to skip.
    bad_examples: counts examples that cannot be read; None for one of its own.
    data_service: address of a `tf.data` service's dispatcher, as in
      "grpc://host:5000".

  Returns:
    A data set of (images, float32 [batch, height, width, channels] in
    [0, 255]; labels, int32 [batch]).

  Raises:
    ValueError: for an argument out of range, or images of different shapes
      without a size; or if no service answers.
  """
  num_steps = steps_per_epoch(dataset, batch_size=batch_size)
  argument_checks.check_integer("seed", seed)
  argument_checks.check_integer("first_step", first_step, minimum=0)
  preparation_lib.check_image_size(dataset, preparation.image_size)
  encoded = preparation.crops_parts
  reader = readers.open_reader(dataset, "train", encoded=encoded)
  prepare = preparation.function(
      dataset.image_shape, seed=seed, rules=dataset.decoding_rules
  )
  items = epochs.shuffled_items(
      reader,
      num_examples=dataset.num_examples("train"),
      seed=seed,
      examples_per_epoch=num_steps * batch_size,
      first_example=first_step * batch_size,
  )

  @tf.autograph.experimental.do_not_convert
  def read(position, *item):
    image, label = reader.read(*item)
    return prepare(image, position), label

  batches = _batches(
      *(dataset, reader, items, read),
      name=lambda _, *item: reader.name(*item),
      batch_size=batch_size,
      drop_remainder=True,
  )
  if data_service is not None:
    batches = data_service_lib.distribute(_in_order(batches), data_service)
  if reader.can_fail:
    counted = bad_examples or bad_examples_lib.BadExamples()
    batches = bad_examples_lib.replace(batches, counted)
  return _finish(batches)


def _batches(dataset, reader, items, read, name, *, batch_size, **kwargs):
  """Batches of what is read; with names first where reading can fail."""
  if not reader.can_fail:
    examples = items.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size, **kwargs)
  return bad_examples_lib.read_each(
      items,
      _with_checked_label(read, dataset.num_classes),
      name,
      batch_size=batch_size,
      **kwargs,
  )


def eval_batches(
    dataset: datasets.ImageDataset,
    split: str,
    *,
    batch_size: int,
    image_size: int | None = None,
    bad_examples: bad_examples_lib.BadExamples | None = None,
) -> tf.data.Dataset:
  """Returns a split once, in an order that is always the same.

  Args:
    dataset: the data set.
    split: "train", "validation" or "test".
    batch_size: number of examples of a (global) batch; the last may be smaller.
    image_size: side in pixels to which an `EvaluationPreparation` brings
      images; None keeps their size.
    bad_examples: counts examples that cannot be read; None for one of its own.

  Returns:
    A data set of (images, float32 [batch, height, width, channels] in
    [0, 255]; labels, int32 [batch]).

  Raises:
    ValueError: for an argument out of range, an unknown split, or images of
      different shapes without `image_size`.
  """
  argument_checks.check_integer("batch_size", batch_size, minimum=1)
  prepare = preparation_lib.EvaluationPreparation.of_dataset(
      dataset, image_size=image_size
  )
  reader = readers.open_reader(dataset, split)

  @tf.autograph.experimental.do_not_convert
  def read(*item):
    image, label = reader.read(*item)
    return prepare(image), label

  batches = _batches(
      *(dataset, reader, reader.in_order(), read),
      name=lambda *item: reader.name(*item),
      batch_size=batch_size,
  )
  if reader.can_fail:
    counted = bad_examples or bad_examples_lib.BadExamples()
    batches = bad_examples_lib.drop(batches, counted).rebatch(batch_size)
  return _finish(batches)


def _with_checked_label(read, num_classes):
  """Lets a function fail where the label is out of range, too."""

  def read_and_check(*item):
    image, label = read(*item)
    is_class = (0 <= label) & (label < num_classes)
    with tf.control_dependencies([tf.debugging.Assert(is_class, [label])]):
      return image, tf.identity(label)

  return read_and_check


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
