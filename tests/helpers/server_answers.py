"""Runs requests against a SavedModel through TensorFlow's C API.

    python -m tests.helpers.server_answers LIBRARIES MODEL REQUESTS.npz \
        ANSWERS.npz

LIBRARIES is the folder of libtensorflow_cc. REQUESTS holds the arrays to feed
and to fetch, named `REQUEST/feed/TENSOR:0` and `REQUEST/fetch/TENSOR:0` (of the
latter only the name counts); bytes are strings. ANSWERS gets
`REQUEST/TENSOR:0`, or TensorFlow's message as `REQUEST/error`. No TensorFlow,
Keras or other Python of theirs is imported.
"""

import sys

import numpy as np

from benchmarks import c_api


def main(libraries, model, requests, answers):
  feeds, fetches = {}, {}
  with np.load(requests) as arrays:
    for key in arrays:
      name, kind, tensor = key.split("/", maxsplit=2)
      if kind == "feed":
        feeds.setdefault(name, {})[tensor] = arrays[key]
      else:
        fetches.setdefault(name, []).append(tensor)
  loaded, results = c_api.Model(libraries, model), {}
  for name, tensors in fetches.items():
    try:
      found = loaded.run(feeds[name], tensors)
    except RuntimeError as error:
      results[f"{name}/error"] = str(error)
    else:
      results |= {
          f"{name}/{tensor}": array
          for tensor, array in zip(tensors, found, strict=True)
      }
  assert not {"tensorflow", "keras", "pgates"} & set(sys.modules)
  np.savez(answers, **results)


if __name__ == "__main__":
  main(*sys.argv[1:])
