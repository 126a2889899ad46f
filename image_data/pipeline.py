"""Batches to train on and to evaluate on, reproducible and resumable."""

from collections.abc import Callable
import difflib
import numbers

import tensorflow as tf

from image_data import augmentations
from image_data import crops
from image_data import datasets
from image_data import epochs

# Not one of the streams that order the examples.
_AUGMENTATION_STREAM = 2


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
    first_step: int = 0,
) -> tf.data.Dataset:
  """Returns an endless sequence of shuffled, augmented training batches.

  An epoch holds every training example once, but for those of the last
  incomplete batch, in an order that depends on `seed` and the epoch alone.
  An augmentation depends on `seed`, the epoch, and the example's place in it.
  Hence a sequence that starts at `first_step` is what one that starts at 0
  yields from there. Steps that are skipped cost no decoding.

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
    first_step: number of batches to skip.

  Returns:
    A data set of (images, float32 [batch, height, width, channels] in
    [0, 255]; labels, int32 [batch]).

  Raises:
    ValueError: for an argument out of range, an unknown augmentation, or
      images of different shapes without `image_size`.
  """
  num_steps = steps_per_epoch(dataset, batch_size=batch_size)
  _check_integer("seed", seed)
  _check_integer("first_step", first_step, minimum=0)
  _check_image_size(dataset, image_size)
  augment = _find_augmentation(augmentation)
  cropping = augmentation in augmentations.CROPPING
  size = _crop_size(dataset, image_size) if cropping else image_size

  def prepare(position, image, label):
    image_seed = tf.random.fold_in(
        tf.constant([seed, _AUGMENTATION_STREAM], tf.int64), position
    )
    if not cropping:
      return augment(_resize(image, image_size=size), image_seed), label
    crop_seed, image_seed = tf.unstack(tf.random.split(image_seed))
    cropped = crops.random_resized_crop(
        image, crop_seed, size, channels=dataset.image_shape[-1]
    )
    return augment(cropped, image_seed), label

  examples = epochs.shuffled_examples(
      dataset,
      seed=seed,
      examples_per_epoch=num_steps * batch_size,
      first_example=first_step * batch_size,
      encoded=cropping,
  )
  examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
  return _finish(examples.batch(batch_size, drop_remainder=True))


def eval_batches(
    dataset: datasets.ImageDataset,
    split: str,
    *,
    batch_size: int,
    image_size: int | None = None,
) -> tf.data.Dataset:
  """Returns a split once, in an order that is always the same.

  Args:
    dataset: the data set.
    split: "train", "validation" or "test".
    batch_size: number of examples of a (global) batch; the last may be smaller.
    image_size: side in pixels to which images are resized, bilinear with
      antialiasing; of images that differ in size, the middle is cut out
      (`center_crop`). None keeps their size.

  Returns:
    A data set of (images, float32 [batch, height, width, channels] in
    [0, 255]; labels, int32 [batch]).

  Raises:
    ValueError: for an argument out of range, an unknown split, or images of
      different shapes without `image_size`.
  """
  _check_integer("batch_size", batch_size, minimum=1)
  _check_image_size(dataset, image_size)
  if dataset.fits_in_memory(split):
    examples = tf.data.Dataset.from_tensor_slices(dataset.arrays(split))
  else:
    examples = dataset.examples(split)

  def prepare(image, label):
    if dataset.has_equal_shapes:
      return _resize(image, image_size=image_size), label
    return crops.center_crop(image, image_size), label

  examples = examples.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
  return _finish(examples.batch(batch_size))


def _find_augmentation(name: str) -> Callable[..., tf.Tensor]:
  known = augmentations.AUGMENTATIONS
  if name not in known:
    matches = difflib.get_close_matches(str(name), known, n=1)
    raise ValueError(
        f"Unknown augmentation {name!r}. Expected one of {', '.join(known)}."
        + (f" Did you mean {matches[0]}?" if matches else "")
    )
  return known[name]


def _crop_size(dataset: datasets.ImageDataset, image_size: int | None) -> int:
  height, width, _ = dataset.image_shape
  if image_size is None and height != width:
    raise ValueError(
        f"The images of {dataset.name} are {height} x {width} pixels, and crops"
        " are square. Pass image_size, their side in pixels."
    )
  return image_size or height


def _resize(image: tf.Tensor, *, image_size: int | None) -> tf.Tensor:
  image = tf.cast(image, tf.float32)
  if image_size is None or image.shape[:2] == (image_size, image_size):
    return image
  return tf.image.resize(image, (image_size, image_size), antialias=True)


def _finish(batches: tf.data.Dataset) -> tf.data.Dataset:
  options = tf.data.Options()
  options.deterministic = True
  # By data, so that the workers of a job together see each global batch once.
  options.experimental_distribute.auto_shard_policy = (
      tf.data.experimental.AutoShardPolicy.DATA
  )
  return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


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
