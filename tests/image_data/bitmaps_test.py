"""Tests of `image_data.bitmaps`, against PIL."""

import io
import struct

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

from image_data import bitmaps


def _four_bits():
  """A BMP file of 4 bits, 3 x 2, from above, and its pixels."""
  colors = [(10, 20, 30), (200, 0, 0), (0, 250, 7)]
  palette = b"".join(bytes((b, g, r, 0)) for r, g, b in colors)
  rows = bytes((0x01, 0x20, 0, 0)) + bytes((0x22, 0x10, 0, 0))
  start = 54 + len(palette)
  header = struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start)
  header += struct.pack("<IiiHHIIiiII", 40, 3, -2, 1, 4, 0, 8, 0, 0, 3, 0)
  expected = [[colors[i] for i in row] for row in ((0, 1, 2), (2, 2, 1))]
  return header + palette + rows, np.array(expected, np.uint8)


def test_palette_of_four_bits_is_looked_up():
  content, expected = _four_bits()
  by_pil = Image.open(io.BytesIO(content)).convert("RGB")
  np.testing.assert_array_equal(by_pil, expected)
  image = bitmaps.decode(tf.constant(content))
  np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("mode", ["1", "L", "P"])
@pytest.mark.parametrize("width", [1, 7, 33])
def test_rows_of_any_width_are_unpacked(mode, width):
  rng = np.random.default_rng(width)
  pixels = rng.integers(0, 256, (5, width, 3)).astype(np.uint8)
  image = Image.fromarray(pixels).convert(mode)
  stream = io.BytesIO()
  image.save(stream, "BMP")
  received = tf.function(bitmaps.decode)(tf.constant(stream.getvalue()))
  np.testing.assert_array_equal(received, image.convert("RGB"))


def test_file_that_is_cut_off_is_an_error():
  content, _ = _four_bits()
  with pytest.raises(tf.errors.InvalidArgumentError):
    bitmaps.decode(tf.constant(content[:-3]))
