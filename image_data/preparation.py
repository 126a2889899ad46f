"""From an image as it is stored to one that a network takes."""

from collections.abc import Callable
import difflib

import tensorflow as tf

from image_data import augmentations
from image_data import crops
from image_data import rand_augment as rand_augment_lib

# Not streams that order the examples.
_AUGMENTATION_STREAM = 2
_RAND_AUGMENT_STREAM = 3


def for_training(
    image_shape: tuple[int | None, ...],
    *,
    seed: int,
    image_size: int | None,
    augmentation: str,
    rand_augment: float,
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
  """Makes a function that resizes or crops, and augments.

  Args:
    image_shape: (height, width, channels) as stored; None where it differs.
    seed: of the augmentation.
    image_size: side in pixels; None keeps the size.
    augmentation: a name in `AUGMENTATIONS`.
    rand_augment: magnitude of RandAugment, in [0, 1]; 0 for none.

  Returns:
    A pure function of an image, uint8 [height, width, channels] (or, of those
    in `CROPPING`, its bytes, a string scalar), and its position among the
    training examples, int64 []; to float32 [height, width, channels].

  Raises:
    ValueError: for an unknown augmentation, crops without a size, or
      RandAugment of images that have not three channels.
  """
  augment = _find_augmentation(augmentation)
  if rand_augment and image_shape[-1] != 3:
    raise ValueError(
        "RandAugment is for images of 3 channels. Received: "
        f"{image_shape[-1]}, with rand_augment={rand_augment}"
    )
  cropping = augmentation in augmentations.CROPPING
  size = _crop_size(image_shape, image_size) if cropping else image_size

  def seed_of(stream, position):
    return tf.random.fold_in(tf.constant([seed, stream], tf.int64), position)

  def prepare(image, position):
    image_seed = seed_of(_AUGMENTATION_STREAM, position)
    if cropping:
      crop_seed, image_seed = tf.unstack(tf.random.split(image_seed))
      image = crops.random_resized_crop(
          image, crop_seed, size, channels=image_shape[-1]
      )
    else:
      image = _resize(image, image_size=size)
    image = augment(image, image_seed)
    if not rand_augment:
      return image
    rand_seed = seed_of(_RAND_AUGMENT_STREAM, position)
    return rand_augment_lib.rand_augment(
        image, rand_seed, magnitude=rand_augment
    )

  return prepare


def for_evaluation(
    image: tf.Tensor, *, image_size: int | None, equal_shapes: bool
) -> tf.Tensor:
  """Resizes an image; cuts out the middle where images differ in size.

  Args:
    image: [height, width, channels], in [0, 255].
    image_size: side of the result in pixels; None keeps the size.
    equal_shapes: whether all images of the data set are of one size.

  Returns:
    float32 [height, width, channels].
  """
  if equal_shapes:
    return _resize(image, image_size=image_size)
  return crops.center_crop(image, image_size)


def _find_augmentation(name):
  known = augmentations.AUGMENTATIONS
  if name not in known:
    matches = difflib.get_close_matches(str(name), known, n=1)
    raise ValueError(
        f"Unknown augmentation {name!r}. Expected one of {', '.join(known)}."
        + (f" Did you mean {matches[0]}?" if matches else "")
    )
  return known[name]


def _crop_size(image_shape, image_size):
  height, width, _ = image_shape
  if image_size is None and height != width:
    raise ValueError(
        f"The images are {height} x {width} pixels, and crops are square. Pass "
        "image_size, their side in pixels."
    )
  return image_size or height


def _resize(image, *, image_size):
  image = tf.cast(image, tf.float32)
  if image_size is None or image.shape[:2] == (image_size, image_size):
    return image
  return tf.image.resize(image, (image_size, image_size), antialias=True)
