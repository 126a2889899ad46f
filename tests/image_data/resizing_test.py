"""Tests of `image_data.resizing`."""

import numpy as np
import pytest
from scipy import stats
import tensorflow as tf

from image_data import resizing
from tests.helpers import triangles

NUM = 300


def _places(height, width):
  """An image whose first channel is the row, and its second the column."""
  rows, columns = np.mgrid[:height, :width]
  zeros = np.zeros_like(rows)
  return np.stack([rows, columns, zeros], axis=-1).astype(np.uint8)


def _seeds(num=NUM):
  return np.stack([np.arange(num), np.full(num, 7)], axis=-1)


def _cropped(source, size, seeds=None, channels=3):
  @tf.function
  def crop_all(seeds):
    return tf.map_fn(
        lambda seed: resizing.random_resized_crop(
            source, seed, size, channels=channels
        ),
        seeds,
        fn_output_signature=tf.float32,
    )

  return crop_all(tf.constant(_seeds() if seeds is None else seeds)).numpy()


def test_whole_image_is_resized_by_triangles():
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (16, 9, 3)).astype(np.uint8)
  rows, columns = triangles.weights(16, 6), triangles.weights(9, 5)
  expected = np.einsum("ij,jkc,lk->ilc", rows, image, columns)
  received = resizing.resize(tf.constant(image), (6, 5))
  np.testing.assert_allclose(received, expected, atol=1e-3)


@pytest.mark.parametrize("size", [None, (16, 9)])
def test_image_of_the_right_size_keeps_its_pixels(size):
  image = np.arange(16 * 9 * 3, dtype=np.uint8).reshape(16, 9, 3)
  received = resizing.resize(tf.constant(image), size)
  assert received.dtype == tf.float32
  np.testing.assert_array_equal(received, image)


@pytest.mark.parametrize("shape", [(64, 96), (96, 64), (64, 64)])
def test_center_crop_is_the_middle_of_the_shorter_side(shape):
  rng = np.random.default_rng(0)
  image = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
  # 56 of the 64 pixels, as 224 of 256.
  top, left = ((side - 56) // 2 for side in shape)
  part = image[top : top + 56, left : left + 56].astype(np.float64)
  weights = triangles.weights(56, 28)
  expected = np.einsum("ij,jkc,lk->ilc", weights, part, weights)
  received = resizing.center_crop(tf.constant(image), 28)
  assert received.dtype == tf.float32
  np.testing.assert_allclose(received, expected, atol=1e-3)


def _windows(images, height, width):
  """What part each crop covers: sides, as shares of the image's."""
  # Between the centres of the outermost pixels, hence one more.
  rows = images[..., 0].max((1, 2)) - images[..., 0].min((1, 2)) + 1
  columns = images[..., 1].max((1, 2)) - images[..., 1].min((1, 2)) + 1
  return rows / height, columns / width


def _torchvision_area(height, width, seed):
  """The share that torchvision's loop would take."""
  rng = np.random.default_rng(seed)
  for _ in range(10):
    area = rng.uniform(0.08, 1) * height * width
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    columns, rows = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
    if columns <= width and rows <= height:
      return rows * columns / (height * width)
  raise AssertionError("Never in 2,000 draws at this shape.")


def test_random_parts_are_of_the_areas_and_shapes_of_the_recipe():
  height, width = 200, 160
  # Larger than any part, so that no outermost pixel is averaged away.
  images = _cropped(tf.constant(_places(height, width)), 400)
  rows, columns = _windows(images, height, width)
  areas, ratios = rows * columns, columns * width / (rows * height)
  # A part's sides are rounded to pixels.
  assert 0.07 < areas.min() < 0.15 and 0.85 < areas.max() <= 1.0001
  assert 0.73 < ratios.min() < 0.80 and 1.25 < ratios.max() < 1.37
  expected = [_torchvision_area(height, width, seed) for seed in range(2000)]
  assert stats.ks_2samp(areas, expected).pvalue > 1e-3
  # Everywhere: parts touch all four sides.
  assert images[..., 0].min() == 0 and images[..., 0].max() == height - 1
  assert images[..., 1].min() == 0 and images[..., 1].max() == width - 1


def test_crop_is_a_function_of_the_seed():
  image = tf.constant(_places(40, 30))
  first, second = _cropped(image, 8), _cropped(image, 8)
  np.testing.assert_array_equal(first, second)
  different = {crop.tobytes() for crop in first}
  assert len(different) > 0.95 * NUM


def test_encoded_images_are_cropped_as_decoded_ones():
  pixels = _places(48, 36)
  png = tf.io.encode_png(pixels)
  expected = _cropped(tf.constant(pixels), 16, _seeds(20))
  np.testing.assert_array_equal(_cropped(png, 16, _seeds(20)), expected)
  jpeg = tf.io.encode_jpeg(pixels, quality=100)
  decoded = tf.io.decode_jpeg(jpeg)
  expected = _cropped(decoded, 16, _seeds(20))
  # Colours are interpolated between blocks of 16 pixels, which are cut.
  np.testing.assert_allclose(_cropped(jpeg, 16, _seeds(20)), expected, atol=3)


@pytest.mark.parametrize(
    "encode",
    [tf.io.encode_png, pytest.param(tf.io.encode_jpeg, marks=pytest.mark.slow)],
)
def test_grey_images_stay_grey(encode):
  pixels = _places(48, 36)[..., :1]
  assert _cropped(encode(pixels), 16, _seeds(2), 1).shape == (2, 16, 16, 1)


def test_shape_is_known_in_a_graph():
  function = tf.function(resizing.random_resized_crop)
  concrete = function.get_concrete_function(
      tf.TensorSpec([], tf.string), tf.TensorSpec([2], tf.int64), 16, channels=3
  )
  assert concrete.structured_outputs.shape == (16, 16, 3)


@pytest.mark.parametrize("shape", [(400, 20), (20, 400)])
def test_where_no_part_fits_the_largest_in_the_middle_is_taken(shape):
  height, width = shape
  seeds = tf.constant(_seeds(40), tf.int64)
  windows = {
      tuple(resizing._window([*shape, 3], seed).numpy()) for seed in seeds
  }
  # At 20 pixels, 3/4 to 4/3 of them: some attempts may fit, and are smaller.
  largest = (27, 20) if height > width else (20, 27)
  place = ((height - largest[0]) // 2, (width - largest[1]) // 2)
  assert (*place, *largest) in windows
  for top, left, rows, columns in windows:
    assert 0 <= top <= height - rows and 0 <= left <= width - columns
