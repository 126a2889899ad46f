"""Parts of graphs that most images do not need, and that cost them nothing."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def apart(function: Callable[..., Any]) -> Callable[..., Any]:
  """A function that stays a function in the graphs that it is called in.

  TensorFlow makes the branches of a `tf.cond` part of the graph around them,
  and goes through the operations of that which is not taken, too: some tenth
  of a millisecond for each image, where they are hundreds. A function that is
  not inlined is one operation there. Its own graph is made once for all
  callers.

  Args:
    function: of tensors, to tensors.

  Returns:
    The same as a `tf.function`.
  """
  return tf.function(
      function,
      autograph=False,
      experimental_attributes={"_noinline": True},
  )
