"""SavedModels that are run, and never trained."""

import os
from typing import Any

import tensorflow as tf


def save(module: tf.Module, path: str | os.PathLike, signatures: Any) -> None:
  """Writes a SavedModel without the functions of gradients of its own ops.

  Those of `tf.nn.silu` ("swish") hold values of the branches of `tf.cond` by
  the names of these functions, which `graph_stripping` changes: the SavedModel
  could not be loaded.

  Args:
    module: that holds the functions and their variables.
    path: the folder to write.
    signatures: as of `tf.saved_model.save`.
  """
  options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
  tf.saved_model.save(
      module, os.fspath(path), signatures=signatures, options=options
  )
