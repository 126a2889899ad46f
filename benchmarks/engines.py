"""Exported networks, loaded by the engines that run them.

Each function returns a callable of a batch `images` and `threshold` [batch].
"""

import importlib
import importlib.util
import tempfile

from ai_edge_litert import interpreter as litert
import numpy as np
import tensorflow as tf

from export.saved_model import graph_stripping
from export.saved_model import serving
from export.tflite import conversion
from file_io import library_messages


def saved_model(model, strategy, *, execution, folder):
  """Writes a network as a SavedModel and loads it.

  Args:
    model: a `pgates.GatedModel`.
    strategy: a strategy; `threshold` for one that each example brings.
    execution: `masked` or `routed`.
    folder: to write to.

  Returns:
    `(images, threshold) -> outputs`.
  """
  module = tf.Module()
  module.run = tf.function(
      serving.make_core(model, strategy, execution=execution),
      input_signature=_signature(model),
      autograph=False,
  )
  path = tempfile.mkdtemp(dir=folder)
  function = module.run.get_concrete_function()
  tf.saved_model.save(module, path, signatures=function)
  graph_stripping.strip(path)  # As exported.
  loaded = tf.saved_model.load(path)

  def run(images, threshold):
    # By the module, whose functions live as long as it does.
    signature = loaded.signatures["serving_default"]
    return signature(images=images, threshold=threshold)

  return run


def tflite_file(model, *, dynamic, num_threads):
  """Converts a network to TF-Lite and loads it, for batches of one.

  Args:
    model: a `pgates.GatedModel`.
    dynamic: whether its gates decide.
    num_threads: of the interpreter.

  Returns:
    `(images, threshold) -> outputs`, of NumPy arrays [1, height, width,
    channels] and []: to slice or to convert a tensor takes as long as a small
    network does.
  """
  content = conversion.convert(model, dynamic=dynamic)
  with library_messages.filtered():
    loaded = litert.Interpreter(model_content=content, num_threads=num_threads)
    loaded.allocate_tensors()
  runner = loaded.get_signature_runner()

  def run(images, threshold):
    if dynamic:
      return runner(images=images, threshold=threshold)
    return runner(images=images)

  return run


def keras_model(model):
  """A network as Keras runs it, with its own strategy.

  Args:
    model: a `pgates.GatedModel`.

  Returns:
    `(images, threshold) -> outputs`; the threshold is not read.
  """
  return lambda images, threshold: model.predict_on_batch(images)


def has_onnx_runtime():
  """Whether the optional packages `onnxruntime` and `tf2onnx` are there."""
  names = ("onnx", "onnxruntime", "tf2onnx")
  return all(map(importlib.util.find_spec, names))


def onnx_runtime(model, *, num_threads):
  """Converts an ungated network to ONNX and loads it in ONNX Runtime.

  Args:
    model: a `pgates.GatedModel`, all of whose gates are opened.
    num_threads: of the session.

  Returns:
    `(images, threshold) -> outputs`; the threshold is not read.
  """
  onnxruntime = importlib.import_module("onnxruntime")
  convert = importlib.import_module("tf2onnx").convert
  core = serving.make_core(model, "always_open", execution="masked")
  signature = _signature(model)[:1]
  function = tf.function(core, input_signature=signature, autograph=False)
  proto, _ = convert.from_function(
      function, input_signature=signature, opset=17
  )
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = num_threads
  # Its idle threads would take the cores from whoever comes next.
  options.add_session_config_entry("session.intra_op.allow_spinning", "0")
  session = onnxruntime.InferenceSession(proto.SerializeToString(), options)
  name = session.get_inputs()[0].name
  return lambda images, threshold: session.run(None, {name: np.asarray(images)})


def _signature(model):
  shape = model.inputs[0].shape[1:]
  return [
      tf.TensorSpec([None, *shape], tf.float32, "images"),
      tf.TensorSpec([None], tf.float32, "threshold"),
  ]
