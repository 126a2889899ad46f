"""From the bytes of an image file to pixels: nothing else here decodes."""

from collections.abc import Callable
import dataclasses
import functools

import tensorflow as tf

from image_data import bitmaps
from image_data import exif
from image_data import graph_functions
from image_data import headers

# The names of files that `decode` reads end in one of these.
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
# Of red, green and blue in grey, of 65,536: ITU-R 601-2, as PIL has it.
_LUMA = (19595, 38470, 7471)


@dataclasses.dataclass(frozen=True)
class DecodingRules:
  """What is a matter of choice in decoding.

  Args:
    exif_orientation: whether images of JPEG files are turned as their EXIF
      block says, as `PIL.ImageOps.exif_transpose` does; else they are taken as
      they are stored.
    max_pixels: height times width above which an image is not decoded. A file
      of some hundred bytes may claim gigabytes of pixels.
  """

  exif_orientation: bool = True
  max_pixels: int = 50_000_000


_RULES = DecodingRules()


def decode(
    encoded: tf.Tensor, *, channels: int, rules: DecodingRules = _RULES
) -> tf.Tensor:
  """Decodes an image.

  Args:
    encoded: bytes of an image file, string []; of an animation, the first
      frame counts.
    channels: of the result, 1 or 3; a grey image is repeated, a coloured one
      becomes grey as by PIL.
    rules: of decoding.

  Returns:
    uint8 [height, width, channels]. Of a file that is not `can_be_read`, or is
    damaged, an InvalidArgumentError is raised when it is run.
  """
  encoded, header = _checked(encoded, rules)
  return _decoded(encoded, header, channels, rules)


@functools.cache
def traced(
    channels: int, rules: DecodingRules
) -> Callable[[tf.Tensor], tf.Tensor]:
  """`decode` as a function whose graph is made once, for all data sets.

  Args:
    channels: as of `decode`.
    rules: of decoding.

  Returns:
    A function of the bytes of an image file, string [].
  """
  return tf.function(
      lambda encoded: decode(encoded, channels=channels, rules=rules),
      autograph=False,
      input_signature=[tf.TensorSpec([], tf.string)],
  )


def decode_or_zeros(
    encoded: tf.Tensor, *, channels: int, rules: DecodingRules = _RULES
) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes an image, where its first bytes are those of one.

  Args:
    encoded: as of `decode`.
    channels: as of `decode`.
    rules: of decoding.

  Returns:
    `can_be_read`, bool [], and the image; one black pixel where it is False.
  """
  header = headers.read(encoded)
  is_read = can_be_read(header, rules)
  image = tf.cond(
      is_read,
      lambda: _decoded(encoded, header, channels, rules),
      lambda: tf.zeros([1, 1, channels], tf.uint8),
  )
  return is_read, tf.ensure_shape(image, [None, None, channels])


def can_be_read(
    header: headers.Header, rules: DecodingRules = _RULES
) -> tf.Tensor:
  """Whether the first bytes of a file are of an image that is decoded.

  Args:
    header: of the file.
    rules: of decoding.

  Returns:
    bool []. What lies behind the first bytes may be damaged all the same.
  """
  pixels = header.num_pixels
  return header.is_read & (pixels >= 1) & (pixels <= rules.max_pixels)


def _checked(encoded, rules):
  """The bytes, which are given when their header is found right, and that."""
  header = headers.read(encoded)
  check = tf.Assert(
      can_be_read(header, rules),
      [f"No image that is read, or of more than {rules.max_pixels} pixels"],
  )
  with tf.control_dependencies([] if check is None else [check]):
    return tf.identity(encoded), header


def _decoded(encoded, header, channels, rules):
  image = _in_channels(_as_stored(encoded, header), channels)
  if rules.exif_orientation:
    image = exif.turned(image, exif.orientation(encoded))
  return image


def _as_stored(encoded, header):
  """uint8 [height, width, 3]."""
  image = tf.cond(
      (header.kind == headers.WEBP) | (header.kind == headers.BMP),
      lambda: _of_many_sorts(encoded, *header),
      # Not grey at once, which TensorFlow does for JPEG and PNG alone.
      lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
  )
  return tf.ensure_shape(image, [None, None, 3])


@graph_functions.apart
def _of_many_sorts(encoded, *header):
  """Of BMP and WebP, TensorFlow itself drops no transparency."""
  header = headers.Header(*header)

  def in_its_own(encoded):
    image = tf.io.decode_image(encoded, channels=0, expand_animations=False)
    return tf.ensure_shape(image, [None, None, None])[..., :3]

  return tf.case(
      [
          (header.has_palette, lambda: bitmaps.decode(encoded)),
          (
              header.kind == headers.BMP,
              lambda: in_its_own(bitmaps.without_trailer(encoded)),
          ),
      ],
      default=lambda: in_its_own(encoded),
  )


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
    rules: DecodingRules = _RULES,
) -> tf.Tensor:
  """Decodes a part of an image; of a JPEG file, this part alone.

  Args:
    encoded: bytes of an image file, string [].
    choose: function of the image's shape, int32 [3], to the part: `[top, left,
      height, width]`, int32 [4].
    channels: of the result, 1 or 3.
    rules: of decoding.

  Returns:
    uint8 [height, width, channels] of the part. Of a file that `decode` does
    not read, an InvalidArgumentError is raised when it is run.
  """
  encoded, header = _checked(encoded, rules)

  def part_of_jpeg():
    shape = tf.io.extract_jpeg_shape(encoded)
    if not rules.exif_orientation:
      return stored_part(choose(shape))
    orientation = exif.orientation(encoded)
    shape = exif.turned_shape(shape, orientation)
    window = exif.stored_window(choose(shape), shape, orientation)
    return exif.turned(stored_part(window), orientation)

  def stored_part(window):
    part = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
    return _in_channels(part, channels)

  @graph_functions.apart
  def part_of_other(encoded, *header):
    header = headers.Header(*header)
    image = _decoded(encoded, header, channels, rules)
    return part_of(image, choose(tf.shape(image)))

  return tf.cond(
      header.kind == headers.JPEG,
      part_of_jpeg,
      lambda: part_of_other(encoded, *header),
  )


def part_of(image: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
  """Cuts `[top, left, height, width]` out of an image."""
  top, left, height, width = tf.unstack(window)
  return image[top : top + height, left : left + width]
