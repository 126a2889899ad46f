"""What the first bytes of an image file say, before anything is decoded."""

from typing import NamedTuple

import tensorflow as tf

from image_data import graph_functions

UNKNOWN, JPEG, PNG, GIF, BMP, WEBP = range(6)
# Of pixels that are places in a palette, in BMP files.
PALETTE_BITS = (1, 4, 8)
# All headers but JPEG's lie within.
_NUM_BYTES = 64
# Numbers of so many bytes, the lowest first; the highest, where it is negative.
_NUMBERS = {
    "magic": (0, 4),
    "png": (4, 4),
    "png_width": (16, -4),
    "png_height": (20, -4),
    "gif_width": (6, 2),
    "gif_height": (8, 2),
    "bmp_pixels": (10, 4),
    "bmp_header": (14, 4),
    "bmp_width": (18, 4),
    "bmp_height": (22, 4),
    "bmp_bits": (28, 2),
    "bmp_compression": (30, 4),
    "bmp_colors": (46, 4),
    "riff": (8, 4),
    "webp": (12, 4),
    "webp_flags": (20, 1),
    "lossless": (21, 4),
    "lossy_width": (26, 2),
    "lossy_height": (28, 2),
    "extended_width": (24, 3),
    "extended_height": (27, 3),
}


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

  Of most files, which are JPEG, hardly anything is looked at.

  Args:
    encoded: bytes of the file, string []. Where the header of a JPEG file is
      damaged, an InvalidArgumentError is raised when it is run.

  Returns:
    A `Header`.
  """
  return Header(
      *tf.cond(
          tf.io.is_jpeg(encoded),
          lambda: _of_jpeg(encoded),
          lambda: _of_other(encoded),
      )
  )


def _of_jpeg(encoded):
  sides = tf.io.extract_jpeg_shape(encoded)[:2]
  pixels = tf.reduce_prod(tf.cast(sides, tf.float64))
  return tf.constant(JPEG), pixels, tf.constant(True), tf.constant(False)


@graph_functions.apart
def _of_other(encoded):
  # Few operations, for a SavedModel holds them: all numbers are made at once.
  said = numbers(encoded)
  kind = _kind(said)
  is_bmp, is_webp = kind == BMP, kind == WEBP
  bits, compression = said["bmp_bits"], said["bmp_compression"]
  has_palette = tf.reduce_any(bits == PALETTE_BITS)
  # Headers of OS/2 are shorter. 3: three masks, as PIL writes 32 bits.
  is_bmp_read = (
      (said["bmp_header"] >= 40)
      & ((compression == 0) | ((compression == 3) & (bits == 32)))
      & (has_palette | (bits == 24) | (bits == 32))
  )
  # TensorFlow writes beyond its memory where it decodes animations.
  is_extended = said["webp"] == _number(b"VP8X")
  is_animated = is_extended & (said["webp_flags"] // 2 % 2 == 1)
  return (
      kind,
      tf.reduce_prod(tf.cast(_sides(said, kind), tf.float64)),
      (kind != UNKNOWN) & (is_bmp_read | ~is_bmp) & ~(is_animated & is_webp),
      has_palette & is_bmp,
  )


def numbers(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
  """What stands at the places of `_NUMBERS`, whatever the kind of a file.

  Args:
    encoded: bytes of the file, string [].

  Returns:
    int64 [] each, by name; of bytes behind the end, zeros.
  """
  head = tf.io.decode_raw(
      tf.strings.substr(encoded, 0, _NUM_BYTES),
      tf.uint8,
      fixed_length=_NUM_BYTES + 1,  # Zeros follow on the end of the file.
  )
  head = tf.cast(head, tf.int64)
  places = []
  for start, size in _NUMBERS.values():
    bytes_of = list(range(start, start + abs(size)))[:: 1 if size > 0 else -1]
    places.append((bytes_of + 4 * [_NUM_BYTES])[:4])  # There is a zero.
  parts = tf.gather(head, places) * [256**i for i in range(4)]
  sums = tf.unstack(tf.reduce_sum(parts, axis=1))
  return dict(zip(_NUMBERS, sums, strict=True))


def _number(text):
  return int.from_bytes(text, "little")


def _kind(said):
  """int32 []."""
  first = said["magic"]
  is_kind = {
      PNG: (first == _number(b"\x89PNG"))
      & (said["png"] == _number(b"\r\n\x1a\n")),
      GIF: first == _number(b"GIF8"),
      BMP: first % 2**16 == _number(b"BM"),
      # Sound is in RIFF files, too.
      WEBP: (first == _number(b"RIFF")) & (said["riff"] == _number(b"WEBP")),
  }
  kinds = tf.stack([*is_kind.values()])
  return tf.reduce_sum(tf.where(kinds, [*is_kind], UNKNOWN))


def _sides(said, kind):
  """Height and width, int64 [2]."""
  bmp = tf.stack([said["bmp_height"], said["bmp_width"]])
  # 14 bits each in the lossy and the lossless kind of WebP.
  bits = said["lossless"]
  lossless = [bits // 2**14 % 2**14 + 1, bits % 2**14 + 1]
  lossy = [said["lossy_height"] % 2**14, said["lossy_width"] % 2**14]
  extended = [said["extended_height"] + 1, said["extended_width"] + 1]
  webp = tf.where(said["webp"] == _number(b"VP8L"), lossless, lossy)
  webp = tf.where(said["webp"] == _number(b"VP8X"), extended, webp)
  unknown = tf.zeros([2], tf.int64)
  by_kind = {
      PNG: tf.stack([said["png_height"], said["png_width"]]),
      GIF: tf.stack([said["gif_height"], said["gif_width"]]),
      # A negative height counts from above.
      BMP: tf.abs(tf.where(bmp >= 2**31, bmp - 2**32, bmp)),
      WEBP: webp,
  }
  sides = [by_kind.get(each, unknown) for each in range(WEBP + 1)]
  return tf.stack(sides)[kind]
