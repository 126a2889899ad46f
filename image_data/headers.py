"""What the first bytes of an image file say, before anything is decoded."""

from typing import NamedTuple

import tensorflow as tf

UNKNOWN, JPEG, PNG, GIF, BMP, WEBP = range(6)
_MAGIC = {
    JPEG: b"\xff\xd8\xff",
    PNG: b"\x89PNG\r\n\x1a\n",
    GIF: b"GIF8",
    BMP: b"BM",
    WEBP: b"RIFF",
}
# Of pixels that are places in a palette, in BMP files.
PALETTE_BITS = (1, 4, 8)
# All headers but JPEG's lie within.
_NUM_BYTES = 64


class Header(NamedTuple):
  """What is known of an image file.

  Args:
    kind: int32 []: `UNKNOWN`, `JPEG`, ...
    num_pixels: height times width, float64 [], for it may be a lie; 0 of an
      unknown kind.
    is_read: whether it is of a sort that is decoded right, bool [].
    has_palette: whether it is a BMP file of fewer than 24 bits a pixel, bool
      [].
  """

  kind: tf.Tensor
  num_pixels: tf.Tensor
  is_read: tf.Tensor
  has_palette: tf.Tensor


def read(encoded: tf.Tensor) -> Header:
  """Reads the header of a file.

  Args:
    encoded: bytes of the file, string []. Where the header of a JPEG file is
      damaged, an InvalidArgumentError is raised when it is run.

  Returns:
    A `Header`.
  """
  # Zeros follow on the end of the file.
  padded = tf.strings.join(
      [tf.strings.substr(encoded, 0, _NUM_BYTES), b"\0" * _NUM_BYTES]
  )
  head = tf.io.decode_raw(padded, tf.uint8)[:_NUM_BYTES]
  head = tf.cast(tf.ensure_shape(head, [_NUM_BYTES]), tf.int64)
  kind = _kind(head)
  height, width, is_read, has_palette = tf.unstack(
      tf.switch_case(
          kind,
          {
              UNKNOWN: lambda: tf.zeros([4], tf.int64),
              JPEG: lambda: _of_jpeg(encoded),
              PNG: lambda: _said(_big(head, 20, 4), _big(head, 16, 4)),
              GIF: lambda: _said(_little(head, 8, 2), _little(head, 6, 2)),
              BMP: lambda: _of_bmp(head),
              WEBP: lambda: _of_webp(head),
          },
      )
  )
  num_pixels = tf.cast(height, tf.float64) * tf.cast(width, tf.float64)
  return Header(kind, num_pixels, is_read > 0, has_palette > 0)


def _kind(head):
  """int32 []."""
  kinds = tf.stack([_says(head, magic) for magic in _MAGIC.values()])
  found = tf.reduce_sum(tf.where(kinds, list(_MAGIC), UNKNOWN))
  # Sound is in RIFF files, too.
  is_image = _says(head, b"WEBP", 8) | (found != WEBP)
  return tf.where(is_image, found, UNKNOWN)


def _said(height, width, is_read=True, has_palette=False):
  values = (height, width, is_read, has_palette)
  return tf.stack([tf.cast(each, tf.int64) for each in values])


def number(values: tf.Tensor) -> tf.Tensor:
  """The number that so many bytes make, the lowest first: int64 []."""
  return tf.reduce_sum(values * [256**i for i in range(values.shape[0])])


def _says(head, text, at=0):
  return tf.reduce_all(head[at : at + len(text)] == tuple(text))


def _little(head, start, size):
  return number(head[start : start + size])


def _big(head, start, size):
  return number(head[start : start + size][::-1])


def _of_jpeg(encoded):
  height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(encoded))
  return _said(height, width)


def _of_bmp(head):
  width, height = _signed(_little(head, 18, 4)), _signed(_little(head, 22, 4))
  bits, compression = _little(head, 28, 2), _little(head, 30, 4)
  # Headers of OS/2 are shorter. 3: three masks, as PIL writes 32 bits.
  is_plain = (compression == 0) | ((compression == 3) & (bits == 32))
  has_palette = tf.reduce_any(bits == PALETTE_BITS)
  is_read = (
      is_plain
      & (_little(head, 14, 4) >= 40)
      & (has_palette | (bits == 24) | (bits == 32))
  )
  # A negative height counts from above.
  return _said(tf.abs(height), width, is_read, has_palette)


def _signed(value):
  return tf.where(value >= 2**31, value - 2**32, value)


def _of_webp(head):
  # 14 bits each in the lossy and the lossless kind.
  bits = _little(head, 21, 4)
  lossless = (bits // 2**14 % 2**14 + 1, bits % 2**14 + 1)
  lossy = (_little(head, 28, 2) % 2**14, _little(head, 26, 2) % 2**14)
  extended = (_little(head, 27, 3) + 1, _little(head, 24, 3) + 1)
  is_extended = _says(head, b"VP8X", 12)
  sides = tf.where(_says(head, b"VP8L", 12), lossless, lossy)
  height, width = tf.unstack(tf.where(is_extended, extended, sides))
  # TensorFlow writes beyond its memory where it decodes animations.
  is_animated = is_extended & (head[20] // 2 % 2 == 1)
  return _said(height, width, ~is_animated)
