"""Small image files of every kind, and such as claim to be large."""

import io
import struct

import numpy as np
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def content(kind, mode):
  """A file of `PIXELS`, in PIL's mode."""
  stream = io.BytesIO()
  options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
  Image.fromarray(PIXELS).convert(mode).save(stream, kind, **options)
  return stream.getvalue()


def claiming(kind, height, width):
  """A file whose header claims a size, whatever it holds."""
  found = bytearray(content(kind, "RGB"))
  if kind == "PNG":
    found[16:24] = struct.pack(">II", width, height)
  elif kind == "GIF":
    found[6:10] = struct.pack("<HH", width, height)
  elif kind == "BMP":
    found[18:26] = struct.pack("<ii", width, -height)
  elif kind == "WEBP":  # Lossless.
    found[21:25] = struct.pack("<I", (height - 1) << 14 | (width - 1))
  else:
    place = found.index(b"\xff\xc0")
    found[place + 5 : place + 9] = struct.pack(">HH", height, width)
  return bytes(found)
