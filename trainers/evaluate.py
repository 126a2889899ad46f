"""Evaluates a trained network under inference strategies.

    python -m trainers.evaluate --workdir=runs/digits --strategies=all

Prints a table and writes `evaluation.json` into the workdir. What decides
something (open rates for pruning, the threshold of a budget) is measured on
the validation split, never on the split that is reported.
"""

import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

import pgates
from trainers.evaluation import run
from trainers.settings import shared_flags

_STRATEGIES = flags.DEFINE_list(
    "strategies",
    ["all"],
    f"all, or names between commas: {', '.join(pgates.STRATEGY_EXAMPLES)}",
)
_SPLIT = flags.DEFINE_enum(
    "split", "test", ["test", "validation"], "What to report on"
)
_EXECUTION = flags.DEFINE_enum(
    "execution", "masked", ["masked", "routed"], "routed really skips blocks"
)
_RECALIBRATE = flags.DEFINE_integer(
    "recalibrate_batch_norm",
    0,
    "Training batches to re-estimate batch-norm statistics on, under each "
    "strategy; model.keras stays as it is",
    lower_bound=0,
)
_THRESHOLD_CURVE = flags.DEFINE_bool(
    "threshold_curve",
    False,
    "Also accuracy and multiply-adds at eleven thresholds, on both splits",
)
_MODEL_FILE = flags.DEFINE_enum(
    "model_file",
    "model.keras",
    ["model.keras", "best.keras"],
    "Of the workdir: the last epoch's, or that of the best on validation",
)
_OUTPUT = flags.DEFINE_string(
    "output", "evaluation.json", "File to write in the workdir"
)
_REFERENCE = flags.DEFINE_string(
    "reference",
    None,
    "The workdir of an ungated network that was evaluated on the same split, "
    "to show beside",
)
flags.mark_flag_as_required("workdir")
# So that `--helpshort` lists them.
flags.adopt_module_key_flags(shared_flags)


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  # Each strategy is a graph of its own, which TensorFlow warns of.
  tf.get_logger().setLevel("ERROR")
  data_dir = shared_flags.DATA_DIR
  try:
    run.evaluate_run(
        run.Options(
            workdir=shared_flags.WORKDIR.value,
            strategies=_STRATEGIES.value,
            # By default the folder that the run was trained from.
            data_dir=data_dir.value if data_dir.present else None,
            split=_SPLIT.value,
            execution=_EXECUTION.value,
            recalibrate_batch_norm=_RECALIBRATE.value,
            reference=_REFERENCE.value,
            threshold_curve=_THRESHOLD_CURVE.value,
            model_file=_MODEL_FILE.value,
            max_bad_examples=shared_flags.MAX_BAD_EXAMPLES.value,
            output=_OUTPUT.value,
        )
    )
  except (ValueError, OSError, ImportError) as error:
    sys.exit(f"trainers.evaluate: {error}")


if __name__ == "__main__":
  app.run(main)
