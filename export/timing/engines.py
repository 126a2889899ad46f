"""Files loaded as a device or a server loads them, to be timed."""

from collections.abc import Callable
import os

import numpy as np
import tensorflow as tf

from export.timing import lite_engine
from file_io import library_messages

Run = Callable[[np.ndarray], object]


def load(
    path: str | os.PathLike,
    format: str,
    *,
    threshold: float | None = None,
    num_threads: int | None = None,
) -> Run:
  """Loads a file.

  Args:
    path: of a TF-Lite file, or the folder of a SavedModel, of images and maybe
      thresholds.
    format: `tflite` or `saved_model`.
    threshold: of the gates; must be given where the file takes one.
    num_threads: of TF-Lite; None for as many as there are cores.

  Returns:
    A function of float32 [batch, height, width, channels], which only runs the
    network.
  """
  if format == "tflite":
    with library_messages.filtered():
      return lite_engine.load(
          path, threshold=threshold, num_threads=num_threads
      )
  return _saved_model(path, threshold)


def _saved_model(path, threshold):
  # A session, as a server runs it: a Python function would take longer than a
  # small network.
  graph = tf.Graph()
  with graph.as_default():
    session = tf.compat.v1.Session(graph=graph)
    loaded = tf.compat.v1.saved_model.loader.load(
        session, [tf.saved_model.SERVING], str(path)
    )
  signature = loaded.signature_def["serving_default"]
  takes_threshold = "threshold" in signature.inputs
  names = ["images", "threshold"] if takes_threshold else ["images"]
  call = session.make_callable(
      [tensor.name for tensor in signature.outputs.values()],
      [signature.inputs[name].name for name in names],
  )
  if not takes_threshold:
    return call
  thresholds = {}

  def run(images):
    size = len(images)
    if size not in thresholds:
      thresholds[size] = np.full(size, threshold, np.float32)
    return call(images, thresholds[size])

  return run
