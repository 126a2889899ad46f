"""Tests of `image_data.decoding`."""

import io
import itertools

import numpy as np
from PIL import Image
from PIL import ImageOps
import pytest
import tensorflow as tf

from image_data import decoding
from image_data import headers
from tests.helpers import image_files
from tests.helpers import parameters

_RNG = np.random.default_rng(0)
PIXELS = image_files.PIXELS
# Saved as, in PIL's mode, and the greatest difference from PIL: its libjpeg
# rounds otherwise.
KINDS = [
    ("WEBP", "RGB", 0),
    ("BMP", "RGB", 0),
    ("BMP", "L", 0),
    ("BMP", "P", 0),
    ("BMP", "1", 0),
    ("BMP", "RGBA", 0),
    ("WEBP", "RGBA", 0),
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


def _can_be_read(content, *rules):
  return decoding.can_be_read(headers.read(content), *rules)


def _by_pil(content, channels):
  image = Image.open(io.BytesIO(content)).convert("RGB")
  if channels == 1:
    return np.asarray(image.convert("L"))[..., None]
  return np.asarray(image)


def _assert_near(received, expected, tolerance):
  assert received.dtype == np.uint8
  difference = np.abs(received.astype(int) - expected.astype(int))
  assert received.shape == expected.shape and difference.max() <= tolerance


@pytest.mark.parametrize(
    ("kind", "mode", "tolerance", "channels"),
    parameters.slow_but(
        [
            *[("WEBP", "RGBA", 0, 3), ("BMP", "P", 0, 3), ("BMP", "1", 0, 1)],
            *[("GIF", "RGB", 0, 3), ("PNG", "LA", 0, 1), ("PNG", "RGBA", 0, 3)],
            *[("PNG", "P", 0, 3), ("JPEG", "RGB", 3, 1)],
            *[("JPEG", "L", 3, 3), ("JPEG", "CMYK", 3, 3)],
        ],
        [
            (*kind, channels)
            for kind, channels in itertools.product(KINDS, [1, 3])
        ],
    ),
)
def test_files_of_every_kind_are_what_pil_makes_of_them(
    kind, mode, tolerance, channels
):
  content = image_files.content(kind, mode)
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


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_what_pil_makes_of_them(channels):
  deep = _RNG.integers(0, 2**16, (6, 8, channels)).astype(np.uint16)
  content = tf.io.encode_png(deep).numpy()
  expected = np.asarray(Image.open(io.BytesIO(content)))
  if channels == 1:  # PIL keeps all bits of grey.
    expected = np.repeat(expected[..., None] // 256, 3, axis=-1)
  received = decoding.decode(tf.constant(content), channels=3)
  np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_stand_upright_whole_and_in_part(orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  stream = io.BytesIO()
  # Each pixel with a colour of its own: else those at the edges of a part are
  # made of fewer neighbours.
  options = {"quality": 95, "subsampling": 0}
  Image.fromarray(PIXELS).save(stream, "JPEG", exif=exif, **options)
  content = tf.constant(stream.getvalue())
  # The pixels as stored: decoders of JPEG round differently.
  stored = tf.io.decode_image(content, channels=3, expand_animations=False)
  image = Image.fromarray(stored.numpy())
  image.getexif()[0x0112] = orientation
  turned = np.asarray(ImageOps.exif_transpose(image))

  def choose(shape):
    np.testing.assert_array_equal(shape, upright.shape)
    return tf.stack([1, 2, shape[0] - 2, shape[1] - 3])

  for rules, upright in (
      (decoding.DecodingRules(), turned),
      (decoding.DecodingRules(exif_orientation=False), np.asarray(image)),
  ):
    received = decoding.decode(content, channels=3, rules=rules).numpy()
    _assert_near(received, upright, 0)
    part = decoding.decode_part(content, choose, channels=3, rules=rules)
    np.testing.assert_array_equal(part, received[1:-1, 2:-1])


def _animated_webp():
  frames = [Image.fromarray(p) for p in (PIXELS, 255 - PIXELS)]
  stream = io.BytesIO()
  frames[0].save(stream, "WEBP", save_all=True, append_images=frames[1:])
  return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "JPEG"])
def test_sizes_are_read_before_anything_is_decoded(kind):
  for height, width, is_right in ((9000, 5000, True), (9000, 6000, False)):
    content = image_files.claiming(kind, height, width)
    assert _can_be_read(content) == is_right
  with pytest.raises(tf.errors.InvalidArgumentError, match="more than 5000000"):
    decoding.decode(content, channels=3)
  few = decoding.DecodingRules(max_pixels=6 * 8 - 1)
  whole = image_files.content(kind, "RGB")
  assert _can_be_read(whole)
  assert not _can_be_read(whole, few)
  with pytest.raises(tf.errors.InvalidArgumentError, match="more than 47 "):
    decoding.decode_part(
        whole, lambda shape: tf.zeros([4], tf.int32), channels=3, rules=few
    )


def test_deep_bombs_do_not_overflow():
  content = bytearray(image_files.content("PNG", "RGB"))
  content[16:24] = b"\xff" * 8
  assert not _can_be_read(bytes(content))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"B",
        b"BM",
        b"text",
        b"%PDF-1.7 " + bytes(99),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"II*\0" + bytes(99),
        b"\0\0\0\x18ftypheic" + bytes(99),
        b"\0\0\0\x1cftypavif" + bytes(99),
        _animated_webp(),
    ],
)
def test_what_is_no_image_is_known_by_its_first_bytes(content):
  assert not tf.function(_can_be_read)(tf.constant(content))
  with pytest.raises(tf.errors.InvalidArgumentError, match="No image that"):
    decoding.decode(tf.constant(content), channels=3)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_what_follows_on_the_pixels_of_a_bmp_file_is_left_alone(mode):
  content = image_files.content("BMP", mode)
  followed = decoding.decode(tf.constant(content + b"trailer"), channels=3)
  np.testing.assert_array_equal(
      followed, decoding.decode(tf.constant(content), channels=3)
  )
