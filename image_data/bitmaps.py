"""BMP files that TensorFlow does not read, or takes for something else."""

import tensorflow as tf

from image_data import graph_functions
from image_data import headers


@graph_functions.apart
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
  height, stride = _rows(said)
  start = said["bmp_pixels"]
  rows = content[start : start + stride * height]
  places = _places(tf.reshape(rows, [height, stride]), said["bmp_bits"])
  places = places[:, : said["bmp_width"]]
  places = tf.cond(_from_below(said), lambda: places[::-1], lambda: places)
  return tf.gather(_palette(content, said), places)


@graph_functions.apart
def without_trailer(encoded: tf.Tensor) -> tf.Tensor:
  """Cuts a BMP file off at the end of its pixels.

  Some programs write more behind them, which TensorFlow refuses.

  Args:
    encoded: bytes of the file, string [].

  Returns:
    string [].
  """
  said = headers.numbers(encoded)
  height, stride = _rows(said)
  end = said["bmp_pixels"] + height * stride
  return tf.strings.substr(encoded, tf.zeros([], tf.int64), end)


def _from_below(said):
  return said["bmp_height"] < 2**31


def _rows(said):
  """How many there are, and bytes of each; int64 []."""
  height = said["bmp_height"]
  height = tf.where(_from_below(said), height, 2**32 - height)
  return height, (said["bmp_width"] * said["bmp_bits"] + 31) // 32 * 4


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
