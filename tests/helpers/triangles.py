"""What antialiased bilinear resizing does along one side."""

import numpy as np


def weights(old_side, new_side):
  """Interpolation whose support grows as an image shrinks.

  Args:
    old_side: pixels before.
    new_side: pixels after, fewer.

  Returns:
    [new_side, old_side], by which the old pixels are multiplied.
  """
  scale = old_side / new_side
  centres = (np.arange(new_side) + 0.5) * scale
  distances = centres[:, np.newaxis] - (np.arange(old_side) + 0.5)
  found = np.maximum(0, 1 - np.abs(distances) / scale)
  return found / found.sum(axis=1, keepdims=True)
