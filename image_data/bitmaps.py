"""BMP files with a palette, which TensorFlow takes for grey images."""

import tensorflow as tf

from image_data import headers


def decode(encoded: tf.Tensor) -> tf.Tensor:
  """Decodes a BMP file of 1, 4 or 8 bits a pixel that is not compressed.

  Args:
    encoded: bytes of the file, string []. Where it is cut off, an
      InvalidArgumentError is raised when it is run.

  Returns:
    uint8 [height, width, 3]. A colour that the palette has not is black.
  """
  content = tf.io.decode_raw(encoded, tf.uint8)
  said = headers.numbers(encoded)
  bits, width, height = (said[f"bmp_{n}"] for n in ("bits", "width", "height"))
  from_below = height < 2**31
  height = tf.where(from_below, height, 2**32 - height)
  start = said["bmp_pixels"]
  stride = (width * bits + 31) // 32 * 4
  rows = content[start : start + stride * height]
  places = _places(tf.reshape(rows, [height, stride]), bits)[:, :width]
  places = tf.cond(from_below, lambda: places[::-1], lambda: places)
  return tf.gather(_palette(content, said), places)


def _places(rows, bits):
  """Places in the palette, int32 [height, width], of packed bytes."""
  base = tf.bitwise.left_shift(1, tf.cast(bits, tf.int32))
  scales = base ** tf.range(tf.cast(8 // bits, tf.int32))[::-1]
  parts = tf.cast(rows, tf.int32)[..., None] // scales % base
  return tf.reshape(parts, [tf.shape(rows)[0], -1])


def _palette(content, said):
  """Red, green and blue, uint8 [256, 3]."""
  first, used = 14 + said["bmp_header"], said["bmp_colors"]
  most = tf.bitwise.left_shift(tf.ones([], tf.int64), said["bmp_bits"])
  count = tf.where(used == 0, most, used)
  count = tf.minimum(count, (said["bmp_pixels"] - first) // 4)
  count = tf.clip_by_value(count, 0, 256)
  colors = tf.reshape(content[first : first + 4 * count], [-1, 4])
  return tf.pad(colors[:, 2::-1], [[0, 256 - count], [0, 0]])
