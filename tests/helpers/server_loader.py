"""Answers of a SavedModel by the loader that TensorFlow Serving uses."""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

ROOT = pathlib.Path(__file__).parents[2]


def definitions(model):
  """The `SignatureDef`s of a SavedModel, by name."""
  saved = saved_model_pb2.SavedModel()
  saved.ParseFromString((model / "saved_model.pb").read_bytes())
  found = dict(saved.meta_graphs[0].signature_def)
  del found["__saved_model_init_op"]
  return found


def answers(model, requests):
  """Runs signatures in a process of its own, one after the other.

  Args:
    model: path of the SavedModel.
    requests: name -> (signature, array by input).

  Returns:
    name -> array by output, or `{"error": TensorFlow's message}`.
  """
  found, arrays, outputs = definitions(model), {}, {}
  for request, (signature, inputs) in requests.items():
    infos = found[signature].inputs
    for name, value in inputs.items():
      if value.dtype == object:
        value = np.array(value.tolist())  # Bytes, as NumPy's files hold them.
      arrays[f"{request}/feed/{infos[name].name}"] = value
    for name, info in found[signature].outputs.items():
      arrays[f"{request}/fetch/{info.name}"] = np.zeros(0)
      outputs[request, info.name] = name
  received = {}
  for key, value in _run(model, arrays).items():
    request, tensor = key.split("/", maxsplit=1)
    name = outputs.get((request, tensor), tensor)
    received.setdefault(request, {})[name] = value
  return received


def _run(model, arrays):
  with tempfile.TemporaryDirectory() as folder:
    asked, answered = (pathlib.Path(folder) / f"{n}.npz" for n in "ab")
    np.savez(asked, **arrays)
    program = [sys.executable, "-m", "tests.helpers.server_answers"]
    subprocess.run(
        [*program, tf.sysconfig.get_lib(), model.resolve(), asked, answered],
        cwd=ROOT,
        check=True,
    )
    with np.load(answered) as found:
      return dict(found)
