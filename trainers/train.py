"""Trains a gated ResNet.

    python -m trainers.train --preset=digits --workdir=runs/digits

The same command continues an interrupted run: killed at any moment, it ends
with the weights it would have had. SIGTERM and SIGHUP save first and end with
exit code 143; a job of several workers that has lost one, with 75.
`model.keras` holds the weights after the last epoch, or with --ema_momentum
their moving average.
"""

import os
import pathlib
import signal
import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from file_io import endings
from trainers import freed_memory
from trainers.settings import config_from_flags
from trainers.settings import shared_flags
from trainers.training import cluster
from trainers.training import dry_run
from trainers.training import loop
from trainers.training import run_checkpoints
from trainers.training import training

_KEEP_CHECKPOINTS = flags.DEFINE_integer(
    "keep_checkpoints", 2, "How many of the newest stay", lower_bound=1
)
_CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps",
    1000,
    "A checkpoint is written after so many steps of an epoch, and at its end",
    lower_bound=1,
)
_DATA_SERVICE = flags.DEFINE_string(
    "data_service",
    None,
    "Dispatcher of a tf.data service that reads and augments, as in "
    "grpc://host:5000; its workers must reach --data_dir",
)
_CLUSTER_TIMEOUT = flags.DEFINE_integer(
    "cluster_timeout",
    600,
    "Seconds that the workers of a job wait for each other at its start",
    lower_bound=1,
)
_DRY_RUN = flags.DEFINE_bool(
    "dry_run",
    False,
    "Print the recipe and what it costs, and train one step on synthetic "
    "images; needs no --workdir",
)
flags.register_multi_flags_validator(
    ["workdir", "dry_run"],
    lambda values: values["workdir"] or values["dry_run"],
    message="Give --workdir, or --dry_run.",
)
# So that `--helpshort` lists them.
flags.adopt_module_key_flags(config_from_flags)
flags.adopt_module_key_flags(shared_flags)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  freed_memory.keep()
  try:
    if _DRY_RUN.value:
      dry_run.dry_run(config_from_flags.make_config())
      return
    training.run(
        config_from_flags.make_config(),
        shared_flags.WORKDIR.value,
        keep_checkpoints=_KEEP_CHECKPOINTS.value,
        checkpoint_steps=_CHECKPOINT_STEPS.value,
        max_bad_examples=shared_flags.MAX_BAD_EXAMPLES.value,
        data_service=_DATA_SERVICE.value,
        cluster_timeout=_CLUSTER_TIMEOUT.value,
    )
  except FloatingPointError as error:
    sys.exit(f"trainers.train: {error}{_of_checkpoints()}")
  except (ValueError, OSError, ImportError) as error:
    sys.exit(f"trainers.train: {error}")
  except tf.errors.ResourceExhaustedError as error:
    sys.exit(
        "trainers.train: No space on the disk, or no memory. What was saved "
        f"before stays: {str(error).splitlines()[0]}"
    )
  except KeyboardInterrupt:
    endings.end(
        "trainers.train",
        signal.SIGINT,
        "The same command continues from the last checkpoint; SIGTERM saves "
        "one first.",
    )
  except cluster.WorkerLost as error:
    # Not `sys.exit`: TensorFlow's threads may wait for the worker that is gone.
    print(f"trainers.train: {error}", file=sys.stderr, flush=True)
    os._exit(training.WORKER_LOST_EXIT_CODE)
  except loop.Stopped:
    print("Saved. The same command continues the run.", flush=True)
    sys.exit(training.STOPPED_EXIT_CODE)


def _of_checkpoints():
  """Where the states before lie, if there are any."""
  if _DRY_RUN.value:
    return ""
  folder = pathlib.Path(shared_flags.WORKDIR.value).expanduser() / "checkpoints"
  if not run_checkpoints.existing(folder):
    return ""
  return f" The states before are in {folder}."


if __name__ == "__main__":
  app.run(main)
