"""Tests of `image_data.headers`."""

import io

from PIL import Image
import pytest
import tensorflow as tf

from image_data import headers
from tests.helpers import image_files

KINDS = {
    "PNG": headers.PNG,
    "GIF": headers.GIF,
    "BMP": headers.BMP,
    "WEBP": headers.WEBP,
    "JPEG": headers.JPEG,
}


@pytest.mark.parametrize("kind", KINDS)
def test_kind_and_size_are_read(kind):
  header = tf.function(headers.read)(image_files.claiming(kind, 9000, 5000))
  assert header.kind == KINDS[kind] and header.is_read
  assert header.num_pixels == 45_000_000


@pytest.mark.parametrize(("mode", "expected"), [("P", True), ("RGB", False)])
def test_palettes_of_bmp_are_known(mode, expected):
  header = headers.read(image_files.content("BMP", mode))
  assert header.has_palette == expected and header.is_read


def test_sound_in_a_riff_file_is_no_image():
  header = headers.read(b"RIFF\0\0\0\0WAVE" + bytes(60))
  assert header.kind == headers.UNKNOWN and not header.is_read


@pytest.mark.parametrize("quality", [{"lossless": True}, {"quality": 90}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_all_three_headers_of_webp_are_read(quality, mode):
  stream = io.BytesIO()
  image = Image.fromarray(image_files.PIXELS).convert(mode).resize((130, 70))
  image.putpixel((0, 0), (1, 2, 3, 4)[: len(mode)])
  image.save(stream, "WEBP", **quality)
  assert headers.read(stream.getvalue()).num_pixels == 130 * 70
