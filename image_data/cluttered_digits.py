"""ClutteredDigits: handwritten digits among fragments of others, and noise."""

from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from image_data import digits

# Chosen so that an ungated CIFAR-style ResNet-20 is clearly below 100 %.
_NUM_FRAGMENTS = 4
_FRAGMENT_SIDES = (3, 5)
_SCALES = (1.1, 1.6)
_DIGIT_CONTRASTS = (0.7, 1.0)
_FRAGMENT_CONTRASTS = (0.3, 0.8)
_NOISE_STDDEV = 20.0


def _paste(
    canvas: np.ndarray,
    patch: np.ndarray,
    *,
    scale: float,
    generator: np.random.Generator,
) -> np.ndarray:
  """Enlarges a patch, and draws it at a random place of a canvas.

  Args:
    canvas: float [size, size].
    patch: float [height, width]; enlarged it must fit into the canvas.
    scale: side of a pixel of the patch, in pixels of the canvas.
    generator: source of the place, uniform where the whole patch is inside.

  Returns:
    The brighter of canvas and patch, float [size, size].
  """
  weights = []
  for length in patch.shape:
    start = generator.random() * (len(canvas) - length * scale)
    # Centres of the canvas's pixels in the patch's coordinates; a triangle
    # around each is bilinear interpolation, and zero outside the patch.
    centres = (np.arange(len(canvas)) + 0.5 - start) / scale - 0.5
    distances = np.abs(centres[:, np.newaxis] - np.arange(length))
    weights.append(np.maximum(0.0, 1.0 - distances))
  return np.maximum(canvas, weights[0] @ patch @ weights[1].T)


def _fragment(
    images: np.ndarray, *, generator: np.random.Generator
) -> np.ndarray:
  """Cuts a small rectangle out of one of the images [count, 8, 8]."""
  image = images[generator.integers(len(images))]
  smallest, largest = _FRAGMENT_SIDES
  height, width = generator.integers(smallest, largest + 1, size=2)
  top = generator.integers(image.shape[0] - height + 1)
  left = generator.integers(image.shape[1] - width + 1)
  return image[top : top + height, left : left + width]


def render(
    image: np.ndarray,
    others: np.ndarray,
    *,
    size: int,
    generator: np.random.Generator,
) -> np.ndarray:
  """Draws a digit at a random place and scale among fragments and noise.

  Args:
    image: the digit, uint8 [8, 8].
    others: the digits that the fragments are cut from, uint8 [count, 8, 8].
    size: side of the canvas in pixels.
    generator: the only source of randomness.

  Returns:
    The rendered image, uint8 [size, size, 1].
  """
  canvas = np.zeros((size, size))
  for _ in range(_NUM_FRAGMENTS):
    fragment = _fragment(others, generator=generator)
    canvas = _paste(
        canvas,
        fragment * generator.uniform(*_FRAGMENT_CONTRASTS),
        scale=generator.uniform(*_SCALES),
        generator=generator,
    )
  canvas = _paste(
      canvas,
      image * generator.uniform(*_DIGIT_CONTRASTS),
      scale=generator.uniform(*_SCALES),
      generator=generator,
  )
  canvas += generator.normal(scale=_NOISE_STDDEV, size=canvas.shape)
  return np.clip(np.round(canvas), 0, 255).astype(np.uint8)[..., np.newaxis]


class ClutteredDigits(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of handwritten digits in clutter, 18x18 grey images.

  Digit and fragments of an image are source digits of the same split of
  `Digits`: train, validation and test share none. The rendering of an example
  depends on its split and number alone.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "Initial release."}

  CANVAS_SIZE = 18
  NUM_EXAMPLES = {"train": 6000, "validation": 1000, "test": 2000}

  def _info(self) -> tfds.core.DatasetInfo:
    shape = (self.CANVAS_SIZE, self.CANVAS_SIZE, 1)
    return tfds.core.DatasetInfo(
        builder=self,
        description=(
            "The digits of scikit-learn at random place, scale and contrast, "
            "among fragments of other digits and noise."
        ),
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(
                    shape=shape, encoding_format="png"
                ),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        supervised_keys=("image", "label"),
        homepage=digits.HOMEPAGE,
        citation=digits.CITATION,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    del dl_manager  # The digits come with scikit-learn.
    return {
        split: self._generate_examples(split) for split in self.NUM_EXAMPLES
    }

  def _generate_examples(self, split: str) -> Iterator:
    images, labels = digits.source_digits()
    indices = digits.split_indices(labels)[split]
    images, labels = images[indices, ..., 0], labels[indices]
    split_number = list(self.NUM_EXAMPLES).index(split)
    for number in range(self.NUM_EXAMPLES[split]):
      source = number % len(images)
      image = render(
          images[source],
          # A fragment of the digit itself would be a second copy of it.
          np.delete(images, source, axis=0),
          size=self.CANVAS_SIZE,
          generator=np.random.default_rng([split_number, number]),
      )
      yield number, {"image": image, "label": int(labels[source])}
