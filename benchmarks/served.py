"""Exported SavedModels, timed as TensorFlow Serving runs them.

A session of TensorFlow's C API in a process of its own, without Python
functions, is what a server makes of a model.
"""

from collections.abc import Mapping
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_ROOT = pathlib.Path(__file__).parents[1]


def measure(
    paths: Mapping[str, str | os.PathLike],
    batches: np.ndarray,
    thresholds: Mapping[str, float],
    *,
    repeats: int,
    num_threads: int,
) -> dict[str, list[float]]:
  """Runs exported SavedModels in turn.

  Args:
    paths: folder by name.
    batches: float32 [batches, batch, height, width, channels]; a round runs
      each of them.
    thresholds: of the gates by name, where a model takes one.
    repeats: rounds that count.
    num_threads: of an operation.

  Returns:
    name -> list of seconds, one a round: of all batches together.

  Raises:
    RuntimeError: with what the process said, if it failed.
  """
  config = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=num_threads)
  with tempfile.TemporaryDirectory() as folder:
    inputs, request, answer = (
        pathlib.Path(folder) / name
        for name in ("inputs.npy", "request.json", "answer.json")
    )
    np.save(inputs, batches)
    wanted = {
        "libraries": tf.sysconfig.get_lib(),
        "config": config.SerializeToString().hex(),
        "repeats": repeats,
        "inputs": str(inputs),
        "models": {
            name: {**_tensors(path), "threshold": thresholds.get(name)}
            for name, path in paths.items()
        },
    }
    request.write_text(json.dumps(wanted))
    program = [sys.executable, "-m", "benchmarks.served_process"]
    done = subprocess.run(
        [*program, request, answer],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
      raise RuntimeError(f"The process that serves failed: {done.stderr}")
    return json.loads(answer.read_text())


def _tensors(path):
  """Where a model lies, and the tensors of the signature to run."""
  path = pathlib.Path(path).resolve()
  saved = saved_model_pb2.SavedModel()
  saved.ParseFromString((path / "saved_model.pb").read_bytes())
  signatures = saved.meta_graphs[0].signature_def
  by_threshold = "serving_threshold" in signatures
  signature = signatures[
      "serving_threshold" if by_threshold else "serving_default"
  ]
  return {
      "path": str(path),
      "feeds": {name: info.name for name, info in signature.inputs.items()},
      "fetches": [info.name for info in signature.outputs.values()],
  }
