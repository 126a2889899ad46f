"""Every shift of an image, by NumPy, for tests of augmentation."""

import numpy as np


def shifts(image):
  """Every shift of an image by up to an eighth of its sides, zero-padded.

  Args:
    image: [height, width, channels].

  Returns:
    (top, left) -> image; (0, 0) shifts most to the bottom right.
  """
  rows, columns = image.shape[0] // 8, image.shape[1] // 8
  padded = np.pad(image, [(rows, rows), (columns, columns), (0, 0)])
  return {
      (top, left): padded[top:, left:][: image.shape[0], : image.shape[1]]
      for top in range(2 * rows + 1)
      for left in range(2 * columns + 1)
  }


def find_shift(image, original):
  """Returns the one shift that turns the original into the image, or None."""
  found = [
      place
      for place, shifted in shifts(original).items()
      if np.array_equal(shifted, image)
  ]
  return found[0] if found else None
