"""Tests of `image_data.exif`, against PIL."""

import io
import itertools

import numpy as np
from PIL import Image
from PIL import ImageOps
import pytest
import tensorflow as tf

from image_data import exif
from tests.helpers import parameters

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 16, 3)).astype(np.uint8)


def _tiff(value, order="II", before=(), kind=3):
  """An EXIF block with one table, whose tags stand in ascending order."""
  name = {"II": "little", "MM": "big"}[order]

  def entry(tag, kind, number):
    filled = number.to_bytes(2, name) + bytes(2)
    head = tag.to_bytes(2, name) + kind.to_bytes(2, name)
    return head + (1).to_bytes(4, name) + filled

  entries = [entry(tag, 3, 7) for tag in before] + [entry(0x0112, kind, value)]
  table = len(entries).to_bytes(2, name) + b"".join(entries) + bytes(4)
  return order.encode() + (42).to_bytes(2, name) + (8).to_bytes(4, name) + table


def _jpeg(tiff, *, behind=b""):
  """A JPEG file with this EXIF block, behind other segments."""
  stream = io.BytesIO()
  Image.fromarray(PIXELS).save(stream, "JPEG", quality=95)
  content = stream.getvalue()
  body = b"Exif\0\0" + tiff
  segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
  return content[:2] + behind + segment + content[2:]


def _orientation(content):
  return int(tf.function(exif.orientation)(tf.constant(content)))


@pytest.mark.parametrize(
    "value, order",
    parameters.slow_but(
        [*zip(range(1, 9), 4 * ["II", "MM"], strict=True)],
        itertools.product(range(1, 9), ["II", "MM"]),
    ),
)
def test_all_orientations_are_read_and_turned_as_by_pil(value, order):
  content = _jpeg(_tiff(value, order, before=(0x010E, 0x010F)))
  assert _orientation(content) == value
  image = Image.open(io.BytesIO(content))
  stored, expected = np.asarray(image), ImageOps.exif_transpose(image)
  turned = exif.turned(tf.constant(stored), tf.constant(value))
  np.testing.assert_array_equal(turned, np.asarray(expected))
  shape = exif.turned_shape(tf.shape(stored), tf.constant(value))
  np.testing.assert_array_equal(shape, turned.shape)
  window = tf.constant([1, 2, 3, 5])
  stored_window = exif.stored_window(window, shape, tf.constant(value))
  top, left, height, width = stored_window.numpy()
  part = stored[top : top + height, left : left + width]
  np.testing.assert_array_equal(
      exif.turned(tf.constant(part), tf.constant(value)), turned[1:4, 2:7]
  )


def test_other_segments_may_stand_before():
  comment = b"\xff\xfe\x00\x05abc" + b"\xff\xe1\x00\x08notexi"
  assert _orientation(_jpeg(_tiff(6), behind=comment)) == 6


NOTHING_VALID = [
    b"",
    b"\xff\xd8\xff",
    b"not an image",
    b"\xff\xd8" + b"\xff\xe1\x00\x00" * 20,
    # Looked at up to within its third segment, which seems to be a fourth.
    b"\xff\xd8" + 3 * (b"\xff\xe2" + b"\xff" * 2**16),
    tf.io.encode_jpeg(PIXELS).numpy(),
    tf.io.encode_png(PIXELS).numpy(),
    _jpeg(b""),
    _jpeg(b"II"),
    _jpeg(_tiff(6)[:7]),
    _jpeg(_tiff(6)[:12]),
    _jpeg(_tiff(6)[:18]),
    _jpeg(b"XX" + _tiff(6)[2:]),
    _jpeg(_tiff(6)[:4] + b"\xff\xff\xff\xff" + _tiff(6)[8:]),
    _jpeg(_tiff(6)[:4] + b"\xf0\xff\0\0" + _tiff(6)[8:]),
    _jpeg(_tiff(6)).replace(b"Exif", b"Elif"),
    _jpeg(_tiff(0)),
    _jpeg(_tiff(9)),
    _jpeg(_tiff(6, kind=2)),
    _jpeg(_tiff(6))[:40],
    _jpeg(_tiff(6))[:28],
]


@pytest.mark.parametrize(
    "content", parameters.slow_but(NOTHING_VALID[1::3], NOTHING_VALID)
)
def test_where_nothing_valid_is_said_images_are_as_stored(content):
  whole = _jpeg(_tiff(6))
  expected = 6 if content == whole[:40] else 1
  assert _orientation(content) == expected
