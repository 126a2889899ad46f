"""Tests of `image_data.rand_augment`."""

import functools
import hashlib
import pathlib
import subprocess
import sys

import keras
import keras_cv
import numpy as np
import pytest
from scipy import ndimage
from scipy import stats
import tensorflow as tf

from image_data.rand_augment import rand_augment
from tests.helpers import parameters

# Not `image_data.rand_augment`, should the package export the function.
module = sys.modules[rand_augment.__module__]
NUM_DRAWS = 4000
NAMES = [*module._DRAWS]
DRAWING = NAMES[2:]
# Run in another process, too.
DIGEST = """
import tensorflow as tf
from image_data.rand_augment import rand_augment

def images_of(num):
  image = tf.random.stateless_uniform([24, 20, 3], (1, 2), 0, 255)
  for index in range(num):
    seed = tf.constant([5, index], tf.int64)
    yield rand_augment(image, seed, magnitude=0.5).numpy()
"""


def _image(shape=(24, 20, 3), low=0.0, high=255.0):
  rng = np.random.default_rng(0)
  return rng.uniform(low, high, shape).astype(np.float32)


def _seeds(num):
  return np.stack([np.full(num, 7), np.arange(num)], axis=1).astype(np.int64)


def _mapped(function, num, signature=tf.float32):
  """What a function of a seed makes of many, in a graph."""

  @tf.function
  def map_all(seeds):
    return tf.map_fn(function, seeds, fn_output_signature=signature)

  return map_all(tf.constant(_seeds(num))).numpy()


def _flat(transformations):
  """Transformations as [batch, numbers]; an axis that is not sheared has 0."""
  if not isinstance(transformations, dict):
    transformations = {"only": transformations}
  values = [transformations[key] for key in sorted(transformations)]
  zeros = tf.zeros_like(next(value for value in values if value is not None))
  values = [zeros if value is None else value for value in values]
  return tf.stack([tf.reshape(value, [-1]) for value in values], axis=-1)


@pytest.fixture(name="known_generators")
def _known_generators():
  """KerasCV's layers draw from these."""
  tf.random.set_seed(0)
  before = tf.random.get_global_generator()
  tf.random.set_global_generator(tf.random.Generator.from_seed(0))
  yield
  tf.random.set_global_generator(before)


def _keras_cv_layer(name, magnitude):
  policy = keras_cv.layers.RandAugment.get_standard_policy(
      (0, 255), magnitude, magnitude_stddev=0.15
  )
  return policy[NAMES.index(name)]


@pytest.mark.parametrize(
    "magnitude", parameters.slow_but([0.3], [0.0, 0.3, 1.0])
)
@pytest.mark.parametrize("name", DRAWING)
def test_transformations_follow_keras_cvs_laws(
    name, magnitude, known_generators
):
  layer = _keras_cv_layer(name, magnitude)
  draw = functools.partial(module._DRAWS[name], magnitude=magnitude)
  theirs = _flat(layer.get_random_transformation_batch(NUM_DRAWS)).numpy()
  ours = _mapped(lambda seed: _flat(draw(seed))[0], NUM_DRAWS)
  assert ours.shape == theirs.shape
  for column in range(ours.shape[1]):
    distance = stats.ks_2samp(ours[:, column], theirs[:, column]).statistic
    # Exceeded in one of a thousand; seeds are fixed.
    assert distance < 1.95 * np.sqrt(2 / NUM_DRAWS)
  if name == "solarize" and magnitude == 0.3:
    # Five standard errors.
    correlation = np.corrcoef(ours.T)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(NUM_DRAWS)


@pytest.mark.parametrize("name", DRAWING)
def test_transformations_have_keras_cvs_shapes(name):
  ours = module._DRAWS[name](tf.constant(_seeds(1)[0]), 0.5)
  theirs = _keras_cv_layer(name, 0.5).get_random_transformation_batch(1)
  if isinstance(ours, dict):
    assert ours.keys() == theirs.keys()
    pairs = [(ours[key], theirs[key]) for key in ours]
  else:
    pairs = [(ours, theirs)]
  for our, their in pairs:
    if our is not None:
      assert (our.shape, our.dtype) == (their.shape, their.dtype)


def _auto_contrast(image, _):
  low, high = image.min((0, 1)), image.max((0, 1))
  return (image - low) / (high - low) * 255


def _equalize(image, _):
  """As KerasCV: Pillow's step leaves out the last count, not the least."""
  channels = []
  for channel in np.moveaxis(image.astype(np.int64), -1, 0):
    counts = np.bincount(channel.ravel(), minlength=256)
    step = (channel.size - counts[counts > 0].min()) // 255
    before = np.cumsum(counts) - counts
    channels.append(np.minimum((before + step // 2) // step, 255)[channel])
  return np.stack(channels, axis=-1)


def _solarize(image, drawn):
  addition, threshold = drawn
  brighter = np.minimum(image + addition, 255)
  return np.where(brighter < threshold, brighter, 255 - brighter)


def _color(image, drawn):
  grey = image @ [[0.2989], [0.5870], [0.1140]]
  return image + drawn[0] * (grey - image)


def _contrast(image, drawn):
  mean = image.mean((0, 1))
  return np.clip(mean + drawn[0] * (image - mean), 0, 255)


def _brightness(image, drawn):
  return np.clip(image + drawn[0], 0, 255)


def _shear_x(image, drawn):
  matrix = np.eye(3)
  matrix[1, 0] = drawn[0]
  return ndimage.affine_transform(image, matrix, order=1, mode="reflect")


def _shear_y(image, drawn):
  matrix = np.eye(3)
  matrix[0, 1] = drawn[1]
  return ndimage.affine_transform(image, matrix, order=1, mode="reflect")


def _translate(image, drawn):
  rows, columns = drawn * image.shape[:2]
  return ndimage.shift(image, (rows, columns, 0), order=1, mode="reflect")


ORACLES = {
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "solarize": _solarize,
    "color": _color,
    "contrast": _contrast,
    "brightness": _brightness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate,
    "translate_y": _translate,
}


@pytest.mark.parametrize("name", NAMES)
def test_operation_is_its_formula(name):
  image = _image((40, 32, 3), low=30, high=220)
  for seed in tf.constant(_seeds(6)):
    drawn = module._DRAWS[name](seed, 0.5)
    drawn = None if drawn is None else _flat(drawn).numpy()[0]
    expected = ORACLES[name](image.astype(np.float64), drawn)
    received = module._apply(name, tf.constant(image), seed, 0.5)
    # Positions are float32: about 1e-6 of 40 pixels, at slopes below 200.
    np.testing.assert_allclose(received, expected, atol=0.02)
    assert np.abs(received - image).max() > 1


@pytest.fixture(name="numbered_operations")
def _numbered_operations(monkeypatch):
  """Operations write their numbers, from 1, as further digits to base 16."""

  def numbered(number):
    return lambda images, _: 16 * images + number

  operations = {name: numbered(i) for i, name in enumerate(NAMES, start=1)}
  monkeypatch.setattr(module, "_operations", lambda: operations)


def _written(num, num_layers):
  image = tf.zeros([1, 1, 3])

  def write(seed):
    written = rand_augment(image, seed, magnitude=0.5, num_layers=num_layers)
    return written[0, 0, 0]

  return _mapped(write, num).astype(np.int64)


def test_ten_operations_and_identity_are_equally_likely(numbered_operations):
  counts = np.bincount(_written(5500, num_layers=1), minlength=11)
  assert counts.size == 11
  # Four standard errors of a count.
  error = np.sqrt(5500 * 1 / 11 * 10 / 11)
  assert np.abs(counts - 500).max() < 4 * error


def test_layers_choose_independently(numbered_operations):
  written = _written(7260, num_layers=2)
  counts = np.bincount(written, minlength=16 * 11)
  # None, one and the identity in either order, or one after another.
  expected = np.zeros(16 * 11)
  expected[0] = 60
  expected[1:11] = 2 * 60
  for first in range(1, 11):
    expected[16 * first + 1 : 16 * first + 11] = 60
  possible = expected > 0
  assert counts[~possible].sum() == 0
  # Chance 1e-3 under the law; seeds are fixed.
  test = stats.chisquare(counts[possible], expected[possible])
  assert test.pvalue > 1e-3


def test_number_of_layers_is_as_asked(numbered_operations):
  written = _written(1000, num_layers=4)
  # All four write in (10 / 11)^4 of cases; five standard errors.
  share = (10 / 11) ** 4
  error = np.sqrt(share * (1 - share) / 1000)
  assert abs((written >= 16**3).mean() - share) < 5 * error
  assert written.max() < 16**4


def _augmented_by_data(image, num, **kwargs):
  data = tf.data.Dataset.from_tensor_slices(_seeds(num))
  data = data.map(
      lambda seed: rand_augment(image, seed, magnitude=0.5),
      **kwargs,
  )
  return np.stack([*data.as_numpy_iterator()])


def test_image_is_a_function_of_the_seed():
  image = tf.constant(_image())
  parallel = _augmented_by_data(image, 60, num_parallel_calls=tf.data.AUTOTUNE)
  np.testing.assert_array_equal(parallel, _augmented_by_data(image, 60))
  tf.random.set_seed(1)
  eager = [
      rand_augment(image, seed, magnitude=0.5)
      for seed in tf.constant(_seeds(60)[::-1])
  ]
  np.testing.assert_array_equal(parallel, eager[::-1])
  # Only 9 of 121 pairs of layers draw no strength: 4.5 of 60 images, at five
  # standard errors 15.
  different = {augmented.tobytes() for augmented in parallel}
  assert len(different) > 60 - 15


@pytest.mark.slow
def test_another_process_makes_the_same_images_and_loads_keras_cv_late():
  scope = {}
  exec(DIGEST, scope)
  expected = hashlib.sha256(b"".join(map(bytes, scope["images_of"](25))))
  program = f"""
import hashlib, sys
{DIGEST}
tf.config.threading.set_intra_op_parallelism_threads(1)
assert "keras_cv" not in sys.modules
print(hashlib.sha256(b"".join(map(bytes, images_of(25)))).hexdigest())
"""
  printed = subprocess.check_output(
      [sys.executable, "-c", program],
      cwd=pathlib.Path(__file__).parents[2],
      text=True,
  )
  assert printed.strip() == expected.hexdigest()


@pytest.mark.parametrize("magnitude", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_values_stay_in_range_and_finite(name, magnitude):
  images = [_image((9, 17, 3)), np.zeros((8, 8, 3)), np.full((8, 8, 3), 255)]
  for image in images:
    image = tf.constant(image, tf.float32)
    for seed in tf.constant(_seeds(4)):
      augmented = module._apply(name, image, seed, magnitude)
      assert augmented.shape == image.shape
      # Not so for numbers that are not finite. Interpolation rounds.
      assert -1e-4 <= augmented.numpy().min()
      assert augmented.numpy().max() <= 255 + 1e-4


def test_where_magnitude_is_zero_strengths_about_zero_vanish():
  image = tf.constant(_image())
  augmented = _mapped(
      lambda seed: rand_augment(image, seed, magnitude=0, num_layers=1), 220
  )
  kept = np.abs(augmented - image).max(axis=(1, 2, 3)) < 0.001 * 130
  # Brightness, contrast, translations and the identity; four standard errors.
  # At magnitude 0.5 it is the identity only.
  error = np.sqrt(5 / 11 * 6 / 11 / 220)
  assert kept.mean() > 5 / 11 - 4 * error


def test_a_precision_policy_does_not_round_pixels():
  image, seed = tf.constant(_image()), tf.constant(_seeds(1)[0])
  expected = [module._apply(name, image, seed, 0.5) for name in NAMES]
  module._operations.cache_clear()
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    received = [module._apply(name, image, seed, 0.5) for name in NAMES]
  finally:
    keras.config.set_dtype_policy("float32")
    module._operations.cache_clear()
  np.testing.assert_array_equal(received, expected)
  assert {augmented.dtype for augmented in received} == {tf.float32}


@pytest.mark.parametrize(
    "shape, autograph",
    [
        pytest.param((24, 20, 3), True, marks=pytest.mark.slow),
        pytest.param((24, 20, 3), False, marks=pytest.mark.slow),
        pytest.param((None, None, 3), True, marks=pytest.mark.slow),
        ((None, None, 3), False),
    ],
)
def test_shape_is_as_known_as_before(shape, autograph):
  augment = functools.partial(rand_augment, magnitude=0.5)
  specs = [tf.TensorSpec(shape, tf.float32), tf.TensorSpec([2], tf.int64)]
  function = tf.function(augment, autograph=autograph, input_signature=specs)
  output = function.get_concrete_function().structured_outputs
  assert (output.shape.as_list(), output.dtype) == ([*shape], tf.float32)
  image, seeds = tf.constant(_image()), tf.constant(_seeds(20))
  received = [function(image, seed) for seed in seeds]
  expected = [augment(image, seed) for seed in seeds]
  np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((8, 8, 1), tf.float32),
        ((1, 8, 8, 3), tf.float32),
        ((8, 8, 3), tf.uint8),
    ],
)
def test_images_that_are_not_float_colour_images_are_refused(shape, dtype):
  with pytest.raises(ValueError, match=r"with 3 channels.*Received: .*8, 8"):
    rand_augment(
        tf.zeros(shape, dtype), tf.constant([1, 2], tf.int64), magnitude=0.5
    )


@pytest.mark.parametrize(
    ("received", "name"),
    [
        ({"magnitude": -0.1}, "magnitude"),
        ({"magnitude": 1.5}, "magnitude"),
        ({"magnitude": float("nan")}, "magnitude"),
        ({"magnitude": 0.5, "num_layers": 0}, "num_layers"),
        ({"magnitude": 0.5, "num_layers": 1.5}, "num_layers"),
    ],
)
def test_arguments_out_of_range_are_refused(received, name):
  with pytest.raises(ValueError, match=f"{name}.*Received: {received[name]}"):
    rand_augment(tf.zeros([8, 8, 3]), tf.constant([1, 2], tf.int64), **received)
