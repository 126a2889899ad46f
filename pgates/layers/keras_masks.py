"""An adapter of Keras: the mask that a tensor carries.

Keras keeps it as an attribute of the tensor, which any operation drops and no
public function reads. It can go when `keras_masks_test.py` finds such a
function.
"""

import tensorflow as tf


def mask_of(tensor: tf.Tensor) -> tf.Tensor | None:
  """The mask of a tensor, or None.

  Args:
    tensor: [batch, ...], as a layer or a loss returned it.

  Returns:
    A bool tensor in the leading shape of `tensor`: False where an entry is
    not to count.
  """
  return getattr(tensor, "_keras_mask", None)


def with_mask(tensor: tf.Tensor, mask: tf.Tensor | None) -> tf.Tensor:
  """Gives a tensor a mask, in place; returns the tensor."""
  if mask is not None:
    tensor._keras_mask = mask
  return tensor
