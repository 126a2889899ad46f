"""Evaluates a trained network under inference strategies.

    python -m trainers.evaluate --workdir=runs/digits --strategies=all

Prints a table and writes `evaluation.json` into the workdir. What decides
something (open rates for pruning, the threshold of a budget) is measured on
the validation split, never on the split that is reported.
"""

import os
import pathlib
import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from file_io import artifacts
import image_data
import pgates
from run_data import reader
from trainers.evaluation import evaluation
from trainers.evaluation import run_folder
from trainers.settings import flags as shared_flags

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


def evaluate_run(
    workdir,
    *,
    strategies,
    data_dir=None,
    split="test",
    execution="masked",
    recalibrate_batch_norm=0,
    reference=None,
    threshold_curve=False,
    model_file="model.keras",
    max_bad_examples=None,
    output="evaluation.json",
):
  """Evaluates the network of a run's folder and writes `evaluation.json`.

  Args:
    workdir: the folder of the run.
    strategies: list of names, or ["all"].
    data_dir: of the data sets; None for the run's.
    split: `test` or `validation`.
    execution: `masked` or `routed`.
    recalibrate_batch_norm: batches to re-estimate statistics on, or 0.
    reference: the workdir of an evaluated run to print beside, or None.
    threshold_curve: whether to measure the curve over thresholds, too.
    model_file: of the workdir.
    max_bad_examples: how many of the split may be skipped; None for any.
    output: name of the file to write in the workdir.

  Returns:
    What the file holds.

  Raises:
    FileNotFoundError: if a folder holds no finished run, or no evaluation.
    ValueError: if a strategy is malformed, or more examples than allowed
      cannot be read.
    OSError: if a file of the data set is damaged.
  """
  workdir = pathlib.Path(workdir).expanduser()
  run_folder.check_files(workdir, "config.json", model_file)
  if not strategies:
    raise ValueError("Give a strategy, or all.")
  for strategy in strategies if strategies != ["all"] else []:
    pgates.parse_strategy(strategy)
  _check_output(output)
  settings, dataset = reader.open_data(workdir, data_dir=data_dir)
  if reference is not None:
    reference = run_folder.read_reference(reference, dataset.name, split)
  model = pgates.load_model(workdir / model_file)
  if strategies == ["all"]:
    strategies = evaluation.all_strategies(model)
  dense = reference["dense_macs"] if reference else model.macs.dense
  print(_HEADER)
  if reference:
    ungated = reference["strategies"]["always_open"]
    print(_row("(reference)", ungated, dense))
  bad_examples = image_data.BadExamples(max_bad_examples)
  with bad_examples.explained():
    batches = run_folder.batches(
        settings,
        dataset,
        split,
        bad_examples=bad_examples,
        train=recalibrate_batch_norm > 0,
    )
    results = {}
    for strategy, result in evaluation.evaluate(
        model,
        strategies,
        batches,
        execution=execution,
        num_batches=recalibrate_batch_norm,
    ):
      results[strategy] = result
      print(_row(strategy, result, dense), flush=True)
    curves = _threshold_curves(model, batches) if threshold_curve else {}
  value = {
      "dataset": dataset.name,
      "split": split,
      "model_file": model_file,
      "execution": execution,
      "examples": dataset.num_examples(split) - len(bad_examples.names),
      "bad_examples": bad_examples.names,
      "recalibrate_batch_norm": recalibrate_batch_norm,
      **evaluation.summary(model, results),
      **curves,
  }
  artifacts.write_json(workdir / output, value)
  print(f"MACs: multiply-adds per example, in % of {dense:,} dense ones.")
  print(f"Wrote {workdir / output}.")
  return value


def _check_output(name):
  """A mistake here would be found after all the work, or cost a file."""
  written_by_training = ("config.json", "position.json")
  is_plain = name == os.path.basename(name) and name.endswith(".json")
  if not is_plain or name in written_by_training:
    raise ValueError(
        "--output is the name of a JSON file in the workdir, and none that "
        f"training writes. Received: {name!r}"
    )


def _threshold_curves(model, batches):
  return {
      "threshold_curves": {
          "validation": pgates.threshold_curve(model, batches.validation),
          "test": pgates.threshold_curve(model, batches.test),
      }
  }


_HEADER = (
    f"{'strategy':<16}{'accuracy':>10}{'+-':>6}{'top-5':>8}{'open rate':>11}"
    f"{'MACs':>16}{'MACs %':>8}{'patterns':>10}"
)


def _row(strategy, result, dense):
  deviation = result.get("accuracy_std")
  spread = "" if deviation is None else f"{100 * deviation:.2f}"
  return (
      f"{strategy:<16}{100 * result['accuracy']:>9.2f}%{spread:>6}"
      f"{100 * result['top5_accuracy']:>7.2f}%{result['open_rate']:>11.3f}"
      f"{result['macs']:>16,.0f}{100 * result['macs'] / dense:>7.1f}%"
      f"{result['gate_patterns']:>10.0f}"
  )


def main(argv):
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  # Each strategy is a graph of its own, which TensorFlow warns of.
  tf.get_logger().setLevel("ERROR")
  data_dir = shared_flags.DATA_DIR
  try:
    evaluate_run(
        shared_flags.WORKDIR.value,
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
  except (ValueError, OSError, ImportError) as error:
    sys.exit(f"trainers.evaluate: {error}")


if __name__ == "__main__":
  app.run(main)
