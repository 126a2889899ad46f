"""The process that `benchmarks.served` starts: models in turn, and a clock.

python -m benchmarks.served_process REQUEST.json ANSWER.json
"""

import json
import pathlib
import sys

import numpy as np

from benchmarks import c_api
from export.timing import interleaved


def main(request, answer):
  wanted = json.loads(pathlib.Path(request).read_text())
  config = bytes.fromhex(wanted["config"])
  batches = np.load(wanted["inputs"])
  # Of several thresholds, one file.
  loaded = {
      path: c_api.Model(wanted["libraries"], path, config)
      for path in {model["path"] for model in wanted["models"].values()}
  }
  calls = {
      name: _call_of_all(loaded[model["path"]], model, batches)
      for name, model in wanted["models"].items()
  }
  times = interleaved.measure(calls, repeats=wanted["repeats"])
  if "tensorflow" in sys.modules:
    raise RuntimeError("This process holds a second copy of TensorFlow.")
  pathlib.Path(answer).write_text(json.dumps(times))


def _call_of_all(loaded, model, batches):
  """Runs a model on each of the batches, made once."""
  calls = []
  for images in batches:
    inputs = {"images": images}
    if "threshold" in model["feeds"]:
      inputs["threshold"] = np.full(len(images), model["threshold"], np.float32)
    feeds = {tensor: inputs[key] for key, tensor in model["feeds"].items()}
    calls.append(c_api.Call(loaded, feeds, model["fetches"]))

  def call():
    for each in calls:
      each()

  return call


if __name__ == "__main__":
  main(*sys.argv[1:])
