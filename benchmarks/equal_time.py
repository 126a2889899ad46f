"""Gated networks, smaller plain ones and cascades, at equal time.

    python -m benchmarks.equal_time --comparison=runs/compare --output=FILE

Of each seed of a comparison (`trainers.compare`), the plain networks, cascades
of each pair of them and the gated networks (`auto`, under MAP) are exported as
a user would, and timed in turn on the same images of the test split, as a
server runs them and in TF-Lite. Times are shares of the time of `ungated`;
accuracies are of both splits, and what is chosen is chosen on validation data.
Each seed is written as it comes; the same command goes on where it was stopped.
"""

import pathlib
import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from benchmarks import compared_networks
from benchmarks import environment
from benchmarks import over_seeds
from benchmarks import time_curves
from file_io import artifacts
from file_io import path_flags
from trainers.settings import shared_flags

_COMPARISON = path_flags.define(
    "comparison", None, "Folder of trainers.compare", required=True
)
_OUTPUT = path_flags.define("output", None, "JSON to write", required=True)
_REPEATS = flags.DEFINE_integer("repeats", 30, "Rounds that count")
_THREADS = flags.DEFINE_integer("threads", 2, "Of TensorFlow and TF-Lite")
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes", ["1", "8", "32"], "Of SavedModels; divisors of 64"
)


def main(argv):
  del argv
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel("ERROR")
  tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
  folder = pathlib.Path(_COMPARISON.value).expanduser()
  output = pathlib.Path(_OUTPUT.value)
  by_seed = compared_networks.finished(folder)
  if not by_seed:
    sys.exit(
        f"benchmarks.equal_time: {folder} holds no finished run of "
        f"{compared_networks.REFERENCE}. Make it with `python -m "
        f"trainers.compare --workdir={folder}`."
    )
  timing = compared_networks.Timing(
      repeats=_REPEATS.value,
      num_threads=_THREADS.value,
      batch_sizes=[int(size) for size in _BATCH_SIZES.value],
  )

  def measure(seed):
    networks = compared_networks.measure(
        folder,
        by_seed[seed],
        timing=timing,
        data_dir=shared_flags.place_of_data().data_dir,
    )
    return {"networks": networks}

  over_seeds.run(
      sorted(by_seed),
      measure,
      output,
      {
          "recipe": artifacts.read_json(folder / "recipe.json"),
          **environment.describe(_THREADS.value),
          "repeats": _REPEATS.value,
      },
      time_curves.summarize,
  )
  print(f"Wrote {output}.")


if __name__ == "__main__":
  app.run(main)
