"""Tests of `image_data.decoding`."""

import io

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from image_data import decoding

_RNG = np.random.default_rng(0)
PIXELS = _RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)
# Saved as, in PIL's mode, and the greatest difference from PIL: its libjpeg
# rounds otherwise.
KINDS = [
    ("WEBP", "RGB", 0),
    ("BMP", "RGB", 0),
    ("BMP", "L", 0),
    ("GIF", "RGB", 0),
    ("GIF", "L", 0),
    ("PNG", "RGB", 0),
    ("PNG", "L", 0),
    ("PNG", "LA", 0),
    ("PNG", "RGBA", 0),
    ("PNG", "P", 0),
    ("PNG", "1", 0),
    ("JPEG", "RGB", 3),
    ("JPEG", "L", 3),
    ("JPEG", "CMYK", 3),
]


def _file(kind, mode):
  stream = io.BytesIO()
  options = {"lossless": True} if kind == "WEBP" else {}
  Image.fromarray(PIXELS).convert(mode).save(stream, kind, **options)
  return stream.getvalue()


def _by_pil(content, channels):
  image = Image.open(io.BytesIO(content)).convert("RGB")
  if channels == 1:
    return np.asarray(image.convert("L"))[..., None]
  return np.asarray(image)


def _assert_near(received, expected, tolerance):
  assert received.dtype == np.uint8
  difference = np.abs(received.astype(int) - expected.astype(int))
  assert received.shape == expected.shape and difference.max() <= tolerance


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("kind", "mode", "tolerance"), KINDS)
def test_files_of_every_kind_are_what_pil_makes_of_them(
    kind, mode, tolerance, channels
):
  content = _file(kind, mode)
  expected = _by_pil(content, channels)
  image = decoding.decode(tf.constant(content), channels=channels)
  _assert_near(image.numpy(), expected, tolerance)

  def choose(shape):
    return tf.stack([1, 2, shape[0] - 2, shape[1] - 3])

  part = decoding.decode_part(
      tf.constant(content), choose, channels=channels
  ).numpy()
  np.testing.assert_array_equal(part, image[1:5, 2:7])


@pytest.mark.parametrize("channels", [1, 3])
def test_of_an_animation_the_first_frame_counts(channels):
  frames = [Image.fromarray(p) for p in (PIXELS, 255 - PIXELS)]
  stream = io.BytesIO()
  frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
  image = decoding.decode(tf.constant(stream.getvalue()), channels=channels)
  _assert_near(image.numpy(), _by_pil(stream.getvalue(), channels), 0)


def test_sixteen_bits_lose_the_lower_ones():
  deep = 257 * PIXELS[..., :1].astype(np.uint16)
  content = tf.io.encode_png(deep)
  for channels in (1, 3):
    image = decoding.decode(content, channels=channels).numpy()
    expected = np.repeat(PIXELS[..., :1], channels, axis=-1)
    np.testing.assert_array_equal(image, expected)
