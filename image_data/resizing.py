"""Images resized, and cropped as ImageNet's recipes do."""

import math

import tensorflow as tf

from image_data import decoding

# Of evaluation: 224 of the 256 pixels of the shorter side.
_CENTER = 224 / 256
# Of training: shares of the area, and width by height.
_AREAS = (0.08, 1.0)
_ASPECT_RATIOS = (3 / 4, 4 / 3)
_ATTEMPTS = 10


def resize(image: tf.Tensor, size: tuple[int, int] | None) -> tf.Tensor:
  """Resizes the whole of an image, bilinear with antialiasing.

  Args:
    image: [height, width, channels] of any type.
    size: (height, width) of the result in pixels; None keeps that of the image.

  Returns:
    float32 [height, width, channels]; the same pixels where the size is right.
  """
  image = tf.cast(image, tf.float32)
  if size is None or tuple(image.shape[:2]) == tuple(size):
    return image
  return tf.image.resize(image, size, antialias=True)


def center_crop(image: tf.Tensor, size: int) -> tf.Tensor:
  """Resizes the shorter side and cuts out the middle.

  Args:
    image: [height, width, channels] of any type, in [0, 255].
    size: side of the result in pixels; the shorter side becomes 256 / 224 of
      it, by bilinear resizing with antialiasing.

  Returns:
    float32 [size, size, channels].
  """
  shape = tf.shape(image)[:2]
  # Of the image as it is: what is cut off is not resized.
  side = tf.cast(tf.reduce_min(shape), tf.float32) * _CENTER
  side = tf.cast(tf.round(side), tf.int32)
  top, left = tf.unstack((shape - side) // 2)
  cropped = image[top : top + side, left : left + side]
  return _to_square(cropped, size, channels=image.shape[-1], antialias=True)


def random_resized_crop(
    source: tf.Tensor,
    seed: tf.Tensor,
    size: int,
    *,
    channels: int,
    rules: decoding.DecodingRules | None = None,
) -> tf.Tensor:
  """Cuts out a random part and resizes it.

  The part covers 0.08 to 1 of the area, at 3/4 to 4/3 of width by height. Of a
  JPEG file only the part is decoded. Resizing is bilinear without antialiasing,
  which would take longer than decoding.

  Args:
    source: an image, uint8 [height, width, channels], or the bytes of one, a
      string scalar.
    seed: int64 [2].
    size: side of the result in pixels.
    channels: of the result.
    rules: of decoding; None for its defaults.

  Returns:
    float32 [size, size, channels] in [0, 255].

  References:
    Szegedy et al., arXiv 1409.4842, section 6.
  """

  def choose(shape):
    return _window(shape, seed)

  if source.dtype == tf.string:
    cropped = decoding.decode_part(
        source,
        choose,
        channels=channels,
        rules=rules or decoding.DecodingRules(),
    )
  else:
    cropped = decoding.part_of(source, choose(tf.shape(source)))
  return _to_square(cropped, size, channels=channels, antialias=False)


def _window(shape, seed):
  """`[top, left, height, width]` of a random part of an image.

  As torchvision draws it: areas are uniform, and the logarithms of the aspect
  ratios; of some attempts, the first that fits. TensorFlow's sampler of boxes
  prefers small areas.
  """
  shape_seed, place_seed = tf.unstack(tf.random.split(seed))
  shape = tf.cast(shape[:2], tf.float32)
  area_seed, ratio_seed = tf.unstack(tf.random.split(shape_seed))
  areas = tf.random.stateless_uniform([_ATTEMPTS], area_seed, *_AREAS)
  areas *= tf.reduce_prod(shape)
  ratios = tf.random.stateless_uniform(
      [_ATTEMPTS], ratio_seed, *map(math.log, _ASPECT_RATIOS)
  )
  ratios = tf.exp(ratios)
  sides = tf.round(tf.sqrt(tf.stack([areas / ratios, areas * ratios], axis=1)))
  sides = tf.maximum(sides, 1.0)
  fits = tf.reduce_all(sides <= shape, axis=1)
  # Else the largest part in the middle, at the nearest aspect ratio.
  height, width = tf.unstack(shape)
  narrowest, widest = _ASPECT_RATIOS
  largest = tf.round(
      [
          tf.minimum(height, width / narrowest),
          tf.minimum(width, height * widest),
      ]
  )
  fit = tf.reduce_any(fits)
  size = tf.where(fit, sides[tf.argmax(fits)], largest)
  uniform = tf.random.stateless_uniform([2], place_seed)
  place = tf.where(fit, uniform * (shape - size + 1), (shape - size) / 2)
  place = tf.minimum(tf.floor(place), shape - size)
  return tf.cast(tf.concat([place, size], axis=0), tf.int32)


def _to_square(image, size, *, channels, antialias):
  resized = tf.image.resize(image, (size, size), antialias=antialias)
  return tf.ensure_shape(resized, [size, size, channels])
