"""What the network of a configuration is trained and validated on."""

from typing import Any

import tensorflow as tf

import image_data
from trainers.settings import config as config_lib

# Not one of the streams of `image_data`.
_MIXUP_STREAM = 10


def training_batches(
    config: config_lib.Config,
    dataset: image_data.ImageDataset,
    *,
    first_step: int = 0,
    bad_examples: image_data.BadExamples | None = None,
    data_service: str | None = None,
) -> tf.data.Dataset:
  """Training batches of a configuration, from a step on.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    first_step: number of batches to skip.
    bad_examples: an `image_data.BadExamples`.
    data_service: address of a `tf.data` service's dispatcher, or None.

  Returns:
    A data set of (images, labels): classes, or probabilities where
    `config.soft_labels`.
  """
  batches = training_examples(
      config,
      dataset,
      first_step=first_step,
      bad_examples=bad_examples,
      data_service=data_service,
  )
  batches = _with_labels_of_the_loss(config, dataset, batches)
  if not config.mixup:
    return batches

  def mix(step, batch):
    seed = tf.constant([config.seed, _MIXUP_STREAM], tf.int64)
    seed = tf.random.fold_in(seed, step)
    return image_data.mixup(*batch, seed, alpha=config.mixup)

  return batches.enumerate(start=first_step).map(
      mix, num_parallel_calls=tf.data.AUTOTUNE
  )


def validation_batches(
    config: config_lib.Config,
    dataset: image_data.ImageDataset,
    *,
    bad_examples: image_data.BadExamples | None = None,
) -> tf.data.Dataset:
  """Validation batches of a configuration, labels as in training.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    bad_examples: an `image_data.BadExamples`.

  Returns:
    A finite data set of (images, labels).
  """
  batches = evaluation_examples(
      config, dataset, "validation", bad_examples=bad_examples
  )
  return _with_labels_of_the_loss(config, dataset, batches)


def check_readable(
    batches: tf.data.Dataset, dataset: image_data.ImageDataset
) -> None:
  """Reads the first of the validation batches, where reading can fail.

  Args:
    batches: of `validation_batches`.
    dataset: that they are of.

  Raises:
    ValueError: if there are images, and not one of them can be read.
  """
  if dataset.fits_in_memory("validation"):
    return
  if dataset.num_examples("validation") and not any(True for _ in batches):
    raise ValueError(
        "Not one of the validation images can be read. The log names them."
    )


def training_examples(
    config: config_lib.Config, dataset: image_data.ImageDataset, **options: Any
) -> tf.data.Dataset:
  """Training batches whose labels are classes, and images not mixed.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    **options: further ones of `image_data.train_batches`.

  Returns:
    A data set of (images, labels).
  """
  return image_data.train_batches(
      dataset,
      batch_size=config.batch_size,
      seed=config.seed,
      preparation=image_data.TrainingPreparation(
          image_size=config.image_size,
          augmentation=config.augmentation,
          rand_augment=config.rand_augment,
      ),
      **options,
  )


def evaluation_examples(
    config: config_lib.Config,
    dataset: image_data.ImageDataset,
    split: str,
    *,
    bad_examples: image_data.BadExamples | None = None,
) -> tf.data.Dataset:
  """Batches of a split whose labels are classes, whatever the loss takes.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    split: "train", "validation" or "test".
    bad_examples: an `image_data.BadExamples`.

  Returns:
    A finite data set of (images, labels).
  """
  return image_data.eval_batches(
      dataset,
      split,
      batch_size=config.batch_size,
      image_size=config.image_size,
      bad_examples=bad_examples,
  )


def _with_labels_of_the_loss(config, dataset, batches):
  if not config.soft_labels:
    return batches
  return batches.map(
      lambda images, labels: (images, tf.one_hot(labels, dataset.num_classes))
  )
