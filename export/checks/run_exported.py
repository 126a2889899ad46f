"""Runs an exported model on arrays, in a process of its own.

    python export/checks/run_exported.py MODEL REQUESTS.npz ANSWERS.npz

MODEL is a folder (SavedModel) or a file (TF-Lite). REQUESTS holds, for each
request, arrays named REQUEST/SIGNATURE/INPUT; ANSWERS gets REQUEST/OUTPUT.
TF-Lite files answer one example after the other. Nothing of this project is
imported, and for TF-Lite files no TensorFlow.
"""

import collections
from collections.abc import Callable
import pathlib
import sys

import numpy as np

# Input or output name -> array.
Arrays = dict[str, np.ndarray]


def read_requests(path: str) -> dict[str, tuple[str, Arrays]]:
  """Reads requests: name -> (signature, arrays by input)."""
  requests = {}
  with np.load(path) as arrays:
    for key in arrays:
      name, signature, argument = key.split("/")
      requests.setdefault(name, (signature, {}))[1][argument] = arrays[key]
  return requests


def saved_model_runner(path: pathlib.Path) -> Callable[[str, Arrays], Arrays]:
  """A function, (signature, inputs) -> outputs, of a SavedModel."""
  import tensorflow as tf

  loaded = tf.saved_model.load(str(path))

  def run(signature, inputs):
    function = loaded.signatures[signature]
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    return {name: out.numpy() for name, out in function(**tensors).items()}

  return run


def tflite_runner(path: pathlib.Path) -> Callable[[str, Arrays], Arrays]:
  """A function, (signature, inputs) -> outputs, of a TF-Lite file."""
  from ai_edge_litert import interpreter

  loaded = interpreter.Interpreter(model_path=str(path), num_threads=2)

  def run(signature, inputs):
    runner = loaded.get_signature_runner(signature)
    answers = collections.defaultdict(list)
    for i in range(len(inputs["images"])):
      one = {"images": inputs["images"][i : i + 1]}
      if "threshold" in inputs:
        one["threshold"] = np.float32(inputs["threshold"][i])
      for name, value in runner(**one).items():
        answers[name].append(value)
    return {name: np.concatenate(parts) for name, parts in answers.items()}

  return run


def main(model: str, requests: str, answers: str) -> None:
  path = pathlib.Path(model)
  run = saved_model_runner(path) if path.is_dir() else tflite_runner(path)
  results = {}
  for name, (signature, inputs) in read_requests(requests).items():
    for output, value in run(signature, inputs).items():
      results[f"{name}/{output}"] = value
  np.savez(answers, **results)


if __name__ == "__main__":
  main(*sys.argv[1:])
