"""Files loaded as a device or a server loads them, to be timed."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import pathlib

from ai_edge_litert import interpreter as litert
import numpy as np
import tensorflow as tf

from file_io import library_messages

Call = Callable[[], object]


def prepare(
    path: str | os.PathLike,
    format: str,
    inputs: Mapping[str, np.ndarray],
    *,
    num_threads: int | None = None,
) -> Call:
  """Loads a file, and prepares one call of it.

  Args:
    path: of a TF-Lite file, or the folder of a SavedModel.
    format: `tflite` or `saved_model`.
    inputs: by name; those that the file does not take are dropped.
    num_threads: of TF-Lite; None for as many as there are cores.

  Returns:
    A function without arguments, which only runs the network.
  """
  if format == "tflite":
    return _tflite(pathlib.Path(path).read_bytes(), inputs, num_threads)
  return _saved_model(path, inputs)


def _tflite(content, inputs, num_threads):
  with library_messages.filtered():
    interpreter = litert.Interpreter(
        model_content=content, num_threads=num_threads or os.cpu_count()
    )
    interpreter.allocate_tensors()
  (signature,) = interpreter.get_signature_list().values()
  details = interpreter.get_input_details()
  names = _names_of_inputs(signature["inputs"], details)
  for index, name in names.items():
    interpreter.set_tensor(index, inputs[name])
  return interpreter.invoke


def _names_of_inputs(names, details):
  """Tensor -> name of the signature's input."""
  found = {}
  for detail in details:
    # `serving_default_images:0` of `images`.
    (name,) = (n for n in names if n in detail["name"])
    found[detail["index"]] = name
  return found


def _saved_model(path, inputs):
  # A session, as a server runs it: a Python function would take longer than a
  # small network.
  graph = tf.Graph()
  with graph.as_default():
    session = tf.compat.v1.Session(graph=graph)
    loaded = tf.compat.v1.saved_model.loader.load(
        session, [tf.saved_model.SERVING], str(path)
    )
  signature = loaded.signature_def["serving_default"]
  names = [name for name in inputs if name in signature.inputs]
  call = session.make_callable(
      [tensor.name for tensor in signature.outputs.values()],
      [signature.inputs[name].name for name in names],
  )
  values = [inputs[name] for name in names]
  return lambda: call(*values)
