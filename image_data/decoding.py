"""From the bytes of an image file to pixels: nothing else here decodes."""

from collections.abc import Callable

import tensorflow as tf

# The names of files that `decode` reads end in one of these.
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
# Of red, green and blue in grey, of 65,536: ITU-R 601-2, as PIL has it.
_LUMA = (19595, 38470, 7471)


def decode(encoded: tf.Tensor, *, channels: int) -> tf.Tensor:
  """Decodes an image.

  Args:
    encoded: bytes of an image file, string []; of an animation, the first
      frame counts.
    channels: of the result, 1 or 3; a grey image is repeated, a coloured one
      becomes grey as by PIL.

  Returns:
    uint8 [height, width, channels].
  """
  # Not grey at once, which TensorFlow does for JPEG and PNG alone.
  image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
  image.set_shape([None, None, 3])
  return _in_channels(image, channels)


def _in_channels(image, channels):
  """Of uint8 [height, width, 3], as many channels as are wanted."""
  if channels == 3:
    return image
  sums = tf.tensordot(tf.cast(image, tf.int32), tf.constant(_LUMA), 1)
  return tf.cast((sums + 2**15) // 2**16, tf.uint8)[..., None]


def decode_part(
    encoded: tf.Tensor,
    choose: Callable[[tf.Tensor], tf.Tensor],
    *,
    channels: int,
) -> tf.Tensor:
  """Decodes a part of an image; of a JPEG file, this part alone.

  Args:
    encoded: bytes of an image file, string [].
    choose: function of the image's shape, int32 [3], to the part: `[top, left,
      height, width]`, int32 [4].
    channels: of the result, 1 or 3.

  Returns:
    uint8 [height, width, channels] of the part.
  """

  def part_of_jpeg():
    window = choose(tf.io.extract_jpeg_shape(encoded))
    part = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
    return _in_channels(part, channels)

  def part_of_other():
    image = decode(encoded, channels=channels)
    return part_of(image, choose(tf.shape(image)))

  return tf.cond(tf.io.is_jpeg(encoded), part_of_jpeg, part_of_other)


def part_of(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """Cuts `[top, left, height, width]` out of an image."""
  top, left, height, width = tf.unstack(window)
  return image[top : top + height, left : left + width]
