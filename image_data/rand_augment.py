"""RandAugment of one image, reproducible from a seed."""

import functools

import tensorflow as tf

_CHANNELS = 3
_VALUE_RANGE = (0, 255)
# KerasCV's defaults. Of the normal laws, as a share of their range.
_MAGNITUDE_STDDEV = 0.15
_MAX_ADDITION = 110
_MIN_CONTRAST = 0.001


def rand_augment(
    image: tf.Tensor, seed: tf.Tensor, *, magnitude: float, num_layers: int = 2
) -> tf.Tensor:
  """Applies random operations, one after the other.

  The operations and the laws of their strengths are KerasCV's, those of its
  layer `RandAugment` at `rate=10 / 11`. Its layer draws from generators that
  hold a state; here the result is a function of image and seed.

  Args:
    image: float32 [height, width, 3] in [0, 255].
    seed: int64 [2].
    magnitude: strength of the operations in [0, 1]. At 0 they are weak, but do
      not vanish: normal strengths keep their standard deviation, and contrast
      and equalization have no strength.
    num_layers: how many operations follow each other; one in eleven is the
      identity.

  Returns:
    float32 [height, width, 3] in [0, 255].

  Raises:
    ValueError: If an argument is not as described.

  References:
    Cubuk et al., arXiv 1909.13719, section 3.
  """
  _check_image(image)
  if not 0 <= magnitude <= 1:
    raise ValueError(f"`magnitude` must be in [0, 1]. Received: {magnitude}")
  if not isinstance(num_layers, int) or num_layers < 1:
    raise ValueError(
        f"`num_layers` must be a positive integer. Received: {num_layers}"
    )
  shape = image.shape
  for layer_seed in tf.unstack(tf.random.split(seed, num_layers)):
    image = _augment_once(image, layer_seed, magnitude)
  return tf.ensure_shape(image, shape)


def _check_image(image):
  # Of KerasCV's operations, colour degeneration fails on grey images.
  shape = image.shape
  if shape.rank != 3 or shape[-1] != _CHANNELS or image.dtype != tf.float32:
    raise ValueError(
        f"`image` must be float32 [height, width, {_CHANNELS}], with"
        f" {_CHANNELS} channels: convert grey images by"
        " `tf.image.grayscale_to_rgb`. Received:"
        f" {image.dtype.name} {shape}"
    )


def _augment_once(image, seed, magnitude):
  """Applies one operation or, in one of eleven cases, none.

  KerasCV keeps an image in 1 of 11 cases and else chooses one of ten: each of
  the eleven outcomes is equally likely.
  """
  choice_seed, draw_seed = tf.unstack(tf.random.split(seed))
  branches = [
      functools.partial(_apply, name, image, draw_seed, magnitude)
      for name in _DRAWS
  ]
  branches.append(lambda: image)
  choice = tf.random.stateless_uniform(
      [], choice_seed, 0, len(branches), tf.int32
  )
  return tf.switch_case(choice, branches)


def _apply(name, image, seed, magnitude):
  transformations = _DRAWS[name](seed, magnitude)
  images = _operations()[name](image[tf.newaxis], transformations)
  return images[0]


@functools.cache
def _operations():
  """KerasCV's pixel operations, by the names of its policy.

  Each maps images, [1, height, width, 3], and transformations, as `_DRAWS`
  makes them. The factors that layers are made with here are never drawn from.
  """
  import keras_cv  # Here, as few programs augment so: it loads slowly.

  layers = keras_cv.layers
  # Else the global policy of mixed precision would round pixels.
  kwargs = {"dtype": "float32"}
  ranged = {"value_range": _VALUE_RANGE, **kwargs}
  shear = layers.RandomShear(0.0, 0.0, **kwargs)
  translation = layers.RandomTranslation(0.0, 0.0, **kwargs)
  by_name = {
      "auto_contrast": layers.AutoContrast(**ranged),
      "equalize": layers.Equalization(**ranged),
      "solarize": layers.Solarization(**ranged),
      "color": layers.RandomColorDegeneration(0.0, **kwargs),
      "contrast": layers.RandomContrast(factor=0.5, **ranged),
      "brightness": layers.RandomBrightness(0.0, **ranged),
      "shear_x": shear,
      "shear_y": shear,
      "translate_x": translation,
      "translate_y": translation,
  }
  # Equalization needs AutoGraph, which may be off where this is called.
  return {
      name: tf.function(layer.augment_images) for name, layer in by_name.items()
  }


def _draw_nothing(seed, magnitude):
  del seed, magnitude


def _draw_solarize(seed, magnitude):
  addition_seed, threshold_seed = tf.unstack(tf.random.split(seed))
  shape = [1, 1, 1, 1]
  additions = _clipped_normal(addition_seed, shape, magnitude)
  thresholds = _clipped_normal(threshold_seed, shape, 1 - magnitude)
  return {
      "additions": _MAX_ADDITION * additions,
      "thresholds": _VALUE_RANGE[1] * thresholds,
  }


def _draw_color(seed, magnitude):
  return _clipped_normal(seed, [1, 1, 1, 1], magnitude)


def _draw_contrast(seed, magnitude):
  bound = max(magnitude, _MIN_CONTRAST)
  return 1 + _symmetric_uniform(seed, [1, 1, 1, 1], bound)


def _draw_brightness(seed, magnitude):
  return _VALUE_RANGE[1] * _symmetric_uniform(seed, [1, 1, 1, 1], magnitude)


def _draw_shear(seed, magnitude, *, axis):
  size_seed, sign_seed = tf.unstack(tf.random.split(seed))
  size = _clipped_normal(size_seed, [1, 1], magnitude)
  negative = tf.random.stateless_uniform([1, 1], sign_seed) > 0.5
  transformations = {"shear_x": None, "shear_y": None}
  transformations[axis] = tf.where(negative, -size, size)
  return transformations


def _draw_translation(seed, magnitude, *, axis):
  zeros = tf.zeros([1, 1])
  transformations = {"height_translations": zeros, "width_translations": zeros}
  transformations[axis] = _symmetric_uniform(seed, [1, 1], magnitude)
  return transformations


def _clipped_normal(seed, shape, mean):
  normal = tf.random.stateless_normal(shape, seed, mean, _MAGNITUDE_STDDEV)
  return tf.clip_by_value(normal, 0, 1)


def _symmetric_uniform(seed, shape, bound):
  return tf.random.stateless_uniform(shape, seed, -bound, bound)


# Each makes an operation's transformations, of the shapes and laws of the
# method `get_random_transformation_batch` of KerasCV's layer, from a seed and
# the magnitude.
_DRAWS = {
    "auto_contrast": _draw_nothing,
    "equalize": _draw_nothing,
    "solarize": _draw_solarize,
    "color": _draw_color,
    "contrast": _draw_contrast,
    "brightness": _draw_brightness,
    "shear_x": functools.partial(_draw_shear, axis="shear_x"),
    "shear_y": functools.partial(_draw_shear, axis="shear_y"),
    "translate_x": functools.partial(
        _draw_translation, axis="width_translations"
    ),
    "translate_y": functools.partial(
        _draw_translation, axis="height_translations"
    ),
}
