"""Engines that run networks in this process.

Each function returns a callable of a batch `images` and `threshold` [batch].
"""

import importlib
import importlib.util
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from export.saved_model import serving


def saved_model(path):
  """Loads an exported SavedModel as a Python program does.

  Args:
    path: of its folder.

  Returns:
    `(images, threshold) -> outputs`; the threshold is read where the model
    takes one.
  """
  loaded = tf.saved_model.load(str(path))

  def run(images, threshold):
    # By the module, whose functions live as long as it does.
    signatures = loaded.signatures
    if "serving_threshold" in signatures:
      return signatures["serving_threshold"](images=images, threshold=threshold)
    return signatures["serving_default"](images=images)

  return run


def keras_model(model):
  """A network as Keras runs it, with its own strategy.

  Args:
    model: a `pgates.GatedModel`.

  Returns:
    `(images, threshold) -> outputs`; the threshold is not read.
  """
  return lambda images, threshold: model.predict_on_batch(images)


def other_runtimes(model, *, num_threads):
  """The ungated network in the runtimes of others that are installed.

  Args:
    model: a `pgates.GatedModel`, all of whose gates are opened.
    num_threads: of a runtime.

  Returns:
    name -> `(images, threshold) -> outputs`; the threshold is not read.
  """
  found = {}
  if has("onnx", "onnxruntime", "tf2onnx"):
    found["onnxruntime"] = _onnx_runtime(_onnx(model), num_threads)
  if has("onnx", "openvino", "tf2onnx"):
    found["openvino"] = _openvino(_onnx(model), num_threads)
  return found


def has(*packages):
  """Whether optional packages are there."""
  return all(map(importlib.util.find_spec, packages))


def _onnx(model):
  """A network in ONNX, serialized."""
  convert = importlib.import_module("tf2onnx").convert
  core = serving.make_core(model, "always_open", execution="masked")
  shape = model.inputs[0].shape[1:]
  signature = [tf.TensorSpec([None, *shape], tf.float32, "images")]
  function = tf.function(core, input_signature=signature, autograph=False)
  proto, _ = convert.from_function(
      function, input_signature=signature, opset=17
  )
  return proto.SerializeToString()


def _onnx_runtime(content, num_threads):
  onnxruntime = importlib.import_module("onnxruntime")
  options = onnxruntime.SessionOptions()
  options.intra_op_num_threads = num_threads
  # Its idle threads would take the cores from whoever comes next.
  options.add_session_config_entry("session.intra_op.allow_spinning", "0")
  session = onnxruntime.InferenceSession(content, options)
  name = session.get_inputs()[0].name
  return lambda images, threshold: session.run(None, {name: np.asarray(images)})


def _openvino(content, num_threads):
  openvino = importlib.import_module("openvino")
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "network.onnx"
    path.write_bytes(content)
    network = openvino.Core().read_model(path)
  compiled = openvino.Core().compile_model(
      network, "CPU", {"INFERENCE_NUM_THREADS": num_threads}
  )
  return lambda images, threshold: list(compiled([np.asarray(images)]).values())
