"""How a camera was held: EXIF's orientation of JPEG files, read in graphs."""

import tensorflow as tf

from image_data import graph_functions

# Before the pixels, segments are 64 kB at most; who writes more than one in
# front of the orientation is not looked behind.
_MOST_BYTES = 2**17
# Segments of applications, and comments, come before all others.
_APP0, _APP1 = 0xFFE0, 0xFFE1
# As most files begin: APP0 of 16 bytes.
_JFIF = b"\xff\xd8\xff\xe0\x00\x10"
_BEHIND_JFIF = 20
# What makes a segment one of EXIF, two bytes each.
_EXIF = [int.from_bytes(two) for two in (b"Ex", b"if", b"\0\0")]
_ORIENTATION = 0x0112
_SHORT = 3


def orientation(encoded: tf.Tensor) -> tf.Tensor:
  """The orientation that a JPEG file says it is stored in.

  Args:
    encoded: bytes of an image file, string []. It is looked for among the
      segments of applications and comments that the file begins with.

  Returns:
    int32 [], 1 to 8; 1, as stored, where nothing (valid) is said, and of files
    of other kinds.

  References:
    CIPA DC-008, sections 4.5 and 4.6.4.
  """
  # Few operations, for each image waits for them: most files begin with JFIF's
  # segment, or none, and say nothing further.
  begins = tf.strings.substr(encoded, 0, len(_JFIF)) == _JFIF
  place = tf.where(begins, _BEHIND_JFIF, 2)
  place = tf.minimum(place, tf.strings.length(encoded))
  marker = _segment(encoded, place)[0]
  return tf.cond(
      tf.io.is_jpeg(encoded) & (marker >= _APP0),
      lambda: _of_jpeg(encoded),
      lambda: tf.constant(1),
  )


@graph_functions.apart
def _of_jpeg(encoded):
  last = tf.minimum(tf.strings.length(encoded), _MOST_BYTES)

  def following(place, segment):
    # A length that counts not even itself would go on for ever.
    place = tf.minimum(place + 2 + tf.maximum(segment[1], 2), last)
    return place, _segment(encoded, place)

  def is_passed(place, segment):
    return (segment[0] >= _APP0) & ~_is_exif(segment) & (place < last)

  place, segment = tf.while_loop(
      is_passed, following, (tf.constant(2), _segment(encoded, 2))
  )
  size = tf.maximum(segment[1] - 8, 0)
  return tf.cond(
      _is_exif(segment),
      lambda: _of_tiff(tf.strings.substr(encoded, place + 10, size)),
      lambda: tf.constant(1),
  )


def _segment(encoded, place):
  """Its first ten bytes, in twos: marker, length, ...; int32 [5]."""
  ten = tf.strings.substr(encoded, place, 10)
  # Zeros follow on the end of the file: no marker.
  twos = tf.io.decode_raw(ten, tf.uint16, little_endian=False, fixed_length=10)
  return tf.cast(twos, tf.int32)


def _is_exif(segment):
  return (segment[0] == _APP1) & tf.reduce_all(segment[2:] == _EXIF)


def _of_tiff(block):
  """The orientation in what follows on `Exif`; int32 []."""
  # Of a block that is cut off, zeros follow: no tag is 0.
  block = tf.pad(tf.io.decode_raw(block, tf.uint8), [[0, 16]])
  block = tf.cast(block, tf.int32)
  size = tf.size(block)
  is_little = tf.reduce_all(block[:2] == tuple(b"II"))
  is_big = tf.reduce_all(block[:2] == tuple(b"MM"))

  def number(two):
    first, second = two[..., 0], two[..., 1]
    return tf.where(is_little, first + 256 * second, 256 * first + second)

  # A table behind the first 64 kB would lie in another segment.
  high, low = number(block[4:6]), number(block[6:8])
  high, low = tf.where(is_little, low, high), tf.where(is_little, high, low)
  table = tf.where((high == 0) & (low + 2 <= size), low, size - 2)
  count = tf.minimum(number(block[table : table + 2]), (size - table - 2) // 12)
  rows = tf.reshape(block[table + 2 :][: 12 * count], [count, 12])
  is_it = (number(rows[:, :2]) == _ORIENTATION) & (
      number(rows[:, 2:4]) == _SHORT
  )
  found = tf.concat([[1], tf.boolean_mask(number(rows[:, 8:10]), is_it)], 0)[-1]
  is_valid = (is_little | is_big) & (found >= 1) & (found <= 8)
  return tf.where(is_valid, found, 1)


def _turns(value):
  """Whether sides change places, and which sides are mirrored then."""
  value = tf.convert_to_tensor(value)
  mirrored = tf.reduce_any(value == [2, 3, 6, 7])
  upside_down = tf.reduce_any(value == [3, 4, 7, 8])
  return _swaps(value), upside_down, mirrored


def _swaps(value):
  return tf.convert_to_tensor(value) >= 5


def turned(image: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
  """An image as it was seen.

  Args:
    image: [height, width, channels] as stored.
    value: its orientation, int32 [].

  Returns:
    The same, or [width, height, channels].
  """
  result = tf.cond(
      tf.equal(value, 1), lambda: image, lambda: _turned(image, value)
  )
  return tf.ensure_shape(result, [None, None, image.shape[-1]])


@graph_functions.apart
def _turned(image, value):
  swaps, upside_down, mirrored = _turns(value)
  swapped = tf.cond(
      swaps, lambda: tf.transpose(image, [1, 0, 2]), lambda: image
  )
  axes = tf.boolean_mask([0, 1], tf.stack([upside_down, mirrored]))
  return tf.reverse(swapped, axes)


def turned_shape(shape: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
  """The shape of `turned`: int32 [3], of int32 [3]."""
  return tf.where(_swaps(value), tf.gather(shape, [1, 0, 2]), shape)


def stored_window(
    window: tf.Tensor, shape: tf.Tensor, value: tf.Tensor
) -> tf.Tensor:
  """Where a part of `turned` is stored.

  Args:
    window: `[top, left, height, width]` in the turned image, int32 [4].
    shape: of the turned image, int32 [3].
    value: the orientation, int32 [].

  Returns:
    The same in the image as stored.
  """
  return tf.cond(
      tf.equal(value, 1),
      lambda: window,
      lambda: _stored_window(window, shape, value),
  )


@graph_functions.apart
def _stored_window(window, shape, value):
  swaps, upside_down, mirrored = _turns(value)
  top, left, height, width = tf.unstack(window)
  top = tf.where(upside_down, shape[0] - top - height, top)
  left = tf.where(mirrored, shape[1] - left - width, left)
  place = tf.stack([top, left, height, width])
  return tf.where(swaps, tf.gather(place, [1, 0, 3, 2]), place)
