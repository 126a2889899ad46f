"""What writing TensorBoard's files costs beside the steps of training.

    python -m benchmarks.logging_cost --preset=cluttered_digits --epochs=4 \
        --workdir=runs/cost --output=benchmarks/results/logging_cost.json

Trains (in a new folder), and times every call of the writer: scalars,
histograms, the heat map, and the pass over the examples that these are made
of. The first epoch, which traces graphs, is told apart.
"""

import time
from unittest import mock

from absl import app
from absl import flags
from absl import logging

from benchmarks import environment
from file_io import artifacts
from file_io import path_flags
import image_data
from trainers.settings import config_from_flags
from trainers.settings import shared_flags
from trainers.training import tensorboard
from trainers.training import training

_OUTPUT = path_flags.define("output", None, "JSON to write", required=True)
flags.mark_flag_as_required("workdir")


def measure(config, workdir):
  """Trains a network and times its logging.

  Args:
    config: a `Config` of two epochs at least.
    workdir: of the run.

  Returns:
    A dict for JSON: seconds of logging and of steps, epoch by epoch; and
    `share`, the former by the latter, without the first epoch.
  """
  write, logged, steps = tensorboard.EpochWriter.write, [], []

  def timed(writer, record):
    start = time.perf_counter()
    write(writer, record)
    logged.append(time.perf_counter() - start)
    # Of the epoch but for validation.
    steps.append(record["seconds_per_step"])

  with mock.patch.object(tensorboard.EpochWriter, "write", timed):
    training.run(config, workdir)
  dataset = image_data.open_dataset(config.dataset, data_dir=config.data_dir)
  num_steps = image_data.steps_per_epoch(dataset, batch_size=config.batch_size)
  trained = [num_steps * seconds for seconds in steps]
  return {
      "logging_seconds": logged,
      "step_seconds": trained,
      "share": sum(logged[1:]) / sum(trained[1:]),
  }


def main(argv):
  del argv
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  config = config_from_flags.make_config()
  result = measure(config, shared_flags.WORKDIR.value)
  print(f"Logging takes {100 * result['share']:.2f} % of the steps' time.")
  result = {
      "network": config.network,
      "dataset": config.dataset,
      **environment.describe(None),
      **result,
  }
  artifacts.write_json(_OUTPUT.value, result)


if __name__ == "__main__":
  app.run(main)
