"""From an image as it is stored to one that a network takes.

Evaluation, serving and the checks of an export share one preparation: what an
image goes through is decided here, and in `decoding`, and nowhere else.
"""

from collections.abc import Callable
import dataclasses
import difflib

import numpy as np
import tensorflow as tf

from image_data import argument_checks
from image_data import augmentations
from image_data import datasets
from image_data import decoding
from image_data import image_folder
from image_data import rand_augment as rand_augment_lib
from image_data import resizing

# Not streams that order the examples.
_AUGMENTATION_STREAM = 2
_RAND_AUGMENT_STREAM = 3

_Dataset = datasets.ImageDataset | image_folder.ImageFolder


@dataclasses.dataclass(frozen=True)
class EvaluationPreparation:
  """A function that makes an image ready for a network, without randomness.

  Resizing is bilinear with antialiasing; pixels of an image of the right size
  do not change.

  Args:
    image_shape: (height, width, channels) that the network takes, in pixels.
    center_crop: whether the middle is cut out, as `resizing.center_crop` does;
      else the whole image is resized, whatever its aspect ratio.
    rules: of decoding.

  Raises:
    ValueError: if a size is not known, or the middle is not square.
  """

  image_shape: tuple[int, int, int]
  center_crop: bool = False
  rules: decoding.DecodingRules = decoding.DecodingRules()

  def __post_init__(self):
    height, width, _ = self.image_shape
    if None in self.image_shape or (self.center_crop and height != width):
      raise ValueError(
          "Expected a known image_shape, square where the middle is cut out. "
          f"Received: {self}"
      )

  @classmethod
  def of_dataset(
      cls, dataset: _Dataset, *, image_size: int | None
  ) -> "EvaluationPreparation":
    """How images of a data set are prepared to be evaluated.

    Args:
      dataset: the data set; of images that differ in size the middle is cut
        out, others are resized.
      image_size: side of the result in pixels; None keeps the size.

    Raises:
      ValueError: if images differ in size, and there is no `image_size`.
    """
    check_image_size(dataset, image_size)
    shape = dataset.image_shape
    if image_size is not None:
      shape = (image_size, image_size, shape[-1])
    return cls(
        shape,
        center_crop=not dataset.has_equal_shapes,
        rules=dataset.decoding_rules,
    )

  def __call__(self, source: tf.Tensor | np.ndarray | bytes) -> tf.Tensor:
    """Prepares one image.

    Args:
      source: an image, [height, width, channels] of any type in [0, 255], or
        the bytes of an image file, string [].

    Returns:
      float32 `image_shape`, in [0, 255].
    """
    image = tf.convert_to_tensor(source)
    if image.dtype == tf.string:
      image = decoding.decode(
          image, channels=self.image_shape[-1], rules=self.rules
      )
    return self._resized(image)

  def _resized(self, image):
    if self.center_crop:
      return resizing.center_crop(image, self.image_shape[0])
    return resizing.resize(image, self.image_shape[:2])

  def or_nan(self, encoded: tf.Tensor) -> tf.Tensor:
    """Prepares one image; NaN stand for what `decoding` does not begin to read.

    Args:
      encoded: the bytes of a file, string [].

    Returns:
      float32 `image_shape`, in [0, 255], or NaN.
    """
    is_read, image = decoding.decode_or_zeros(
        encoded, channels=self.image_shape[-1], rules=self.rules
    )
    prepared = tf.ensure_shape(self._resized(image), self.image_shape)
    return tf.where(is_read, prepared, float("nan"))


@dataclasses.dataclass(frozen=True)
class TrainingPreparation:
  """How training images are resized or cropped, and augmented.

  Args:
    image_size: side in pixels to which images are resized, bilinear with
      antialiasing, before they are augmented; None keeps their size.
    augmentation: a name in `AUGMENTATIONS`: "none", "shift" (by up to an
      eighth of each side), "shift_flip" (and mirrored, as for CIFAR), or
      "crop_flip" (a random part, resized, and mirrored, as for ImageNet).
    rand_augment: magnitude of RandAugment behind it, in [0, 1]; 0 for none.

  Raises:
    ValueError: for an unknown augmentation.
  """

  image_size: int | None = None
  augmentation: str = "none"
  rand_augment: float = 0.0

  def __post_init__(self):
    known = augmentations.AUGMENTATIONS
    if self.augmentation not in known:
      matches = difflib.get_close_matches(str(self.augmentation), known, n=1)
      raise ValueError(
          f"Unknown augmentation {self.augmentation!r}. Expected one of "
          f"{', '.join(known)}."
          + (f" Did you mean {matches[0]}?" if matches else "")
      )

  @property
  def crops_parts(self) -> bool:
    """Whether images are cropped, and so best left encoded until then."""
    return self.augmentation in augmentations.CROPPING

  def function(
      self,
      image_shape: tuple[int | None, ...],
      *,
      seed: int,
      rules: decoding.DecodingRules | None = None,
  ) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Makes a function that prepares one image.

    Args:
      image_shape: (height, width, channels) as stored; None where it differs.
      seed: of the augmentation.
      rules: of decoding, where `crops_parts`; None for its defaults.

    Returns:
      A pure function of an image, uint8 [height, width, channels] (or, where
      `crops_parts`, its bytes, string []), and its position among the training
      examples, int64 []; to float32 [height, width, channels].

    Raises:
      ValueError: for crops without a size, or RandAugment of images that have
        not three channels.
    """
    if self.rand_augment and image_shape[-1] != 3:
      raise ValueError(
          "RandAugment is for images of 3 channels. Received: "
          f"{image_shape[-1]}, with rand_augment={self.rand_augment}"
      )
    place = self._resized
    if self.crops_parts:
      place = self._cropped(image_shape, rules)
    augment = augmentations.AUGMENTATIONS[self.augmentation]

    def prepare(image, position):
      image_seed = _fold_in(seed, _AUGMENTATION_STREAM, position)
      image = augment(*place(image, image_seed))
      if not self.rand_augment:
        return image
      rand_seed = _fold_in(seed, _RAND_AUGMENT_STREAM, position)
      return rand_augment_lib.rand_augment(
          image, rand_seed, magnitude=self.rand_augment
      )

    return prepare

  def _resized(self, image, seed):
    size = self.image_size
    size = None if size is None else (size, size)
    return resizing.resize(image, size), seed

  def _cropped(self, image_shape, rules):
    height, width, channels = image_shape
    if self.image_size is None and height != width:
      raise ValueError(
          f"The images are {height} x {width} pixels, and crops are square. "
          "Pass image_size, their side in pixels."
      )
    size = self.image_size or height

    def crop(image, seed):
      crop_seed, rest = tf.unstack(tf.random.split(seed))
      image = resizing.random_resized_crop(
          image, crop_seed, size, channels=channels, rules=rules
      )
      return image, rest

    return crop


def check_image_size(dataset: _Dataset, image_size: int | None) -> None:
  """Refuses a size that is none, and to keep sizes that differ (ValueError)."""
  if image_size is not None:
    argument_checks.check_integer("image_size", image_size, minimum=1)
  elif not dataset.has_equal_shapes:
    raise ValueError(
        f"The images of {dataset.name} differ in shape"
        f" {dataset.image_shape}, and image_size is None. Pass image_size, the"
        " side in pixels to which all are resized."
    )


def _fold_in(seed, stream, position):
  return tf.random.fold_in(tf.constant([seed, stream], tf.int64), position)
