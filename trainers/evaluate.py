"""Evaluates a trained network under inference strategies.

    python -m trainers.evaluate --workdir=runs/digits --strategies=all

Prints a table and writes `evaluation.json` into the workdir. What decides
something (open rates for pruning, the threshold of a budget) is measured on
the validation split, never on the split that is reported.
"""

import pathlib
import sys

from absl import app
from absl import flags
from absl import logging
import keras
import tensorflow as tf

from file_io import artifacts
import image_data
import pgates
from trainers import evaluation
from trainers import flags as shared_flags

_STRATEGIES = flags.DEFINE_list(
    "strategies",
    ["all"],
    "all, or names between commas: map, threshold:0.3, sampled, expected, "
    "always_open, ensemble:5, prune:0.5, top_k:6, budget:0.7",
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
_REFERENCE = flags.DEFINE_string(
    "reference",
    None,
    "The workdir of an ungated network that was evaluated on the same split, "
    "to show beside",
)


def evaluate_run(
    workdir,
    *,
    strategies,
    data_dir=None,
    split="test",
    execution="masked",
    recalibrate_batch_norm=0,
    reference=None,
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

  Returns:
    What `evaluation.json` holds.

  Raises:
    FileNotFoundError: if a folder holds no finished run, or no evaluation.
    ValueError: if a strategy is malformed.
  """
  workdir = pathlib.Path(workdir).expanduser()
  _check_files(workdir, "config.json", "model.keras")
  if not strategies:
    raise ValueError("Give a strategy, or all.")
  for strategy in strategies if strategies != ["all"] else []:
    pgates.parse_strategy(strategy)
  settings = artifacts.read_json(workdir / "config.json")["settings"]
  dataset = image_data.open_dataset(
      settings["dataset"], data_dir=data_dir or settings["data_dir"]
  )
  if reference is not None:
    reference = _read_reference(reference, dataset.name, split)
  model = keras.models.load_model(workdir / "model.keras", compile=False)
  if strategies == ["all"]:
    strategies = evaluation.all_strategies(model)
  dense = reference["dense_macs"] if reference else model.macs.dense
  print(_HEADER)
  if reference:
    ungated = reference["strategies"]["always_open"]
    print(_row("(reference)", ungated, dense))
  results = {}
  for strategy, result in evaluation.evaluate(
      model,
      strategies,
      _batches(settings, dataset, split),
      execution=execution,
      num_batches=recalibrate_batch_norm,
  ):
    results[strategy] = result
    print(_row(strategy, result, dense), flush=True)
  value = {
      "dataset": dataset.name,
      "split": split,
      "examples": dataset.num_examples(split),
      "recalibrate_batch_norm": recalibrate_batch_norm,
      **evaluation.summary(model, results),
  }
  artifacts.write_json(workdir / "evaluation.json", value)
  print(f"MACs: multiply-adds per example, in % of {dense:,} dense ones.")
  print(f"Wrote {workdir / 'evaluation.json'}.")
  return value


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


def _check_files(workdir, *names):
  for name in names:
    if not (workdir / name).is_file():
      program = "evaluate" if name == "evaluation.json" else "train"
      raise FileNotFoundError(
          f"{workdir} has no {name}. Run `python -m trainers.{program} "
          f"--workdir={workdir}` to the end first."
      )


def _read_reference(workdir, dataset, split):
  workdir = pathlib.Path(workdir).expanduser()
  _check_files(workdir, "evaluation.json")
  value = artifacts.read_json(workdir / "evaluation.json")
  found = (value["dataset"], value["split"])
  if found != (dataset, split) or "always_open" not in value["strategies"]:
    raise ValueError(
        f"--reference must be evaluated as always_open on {split} of {dataset}."
        f" {workdir} holds {', '.join(value['strategies'])} on {found[1]} of "
        f"{found[0]}."
    )
  return value


def _batches(settings, dataset, split):
  def batches_of(name):
    return image_data.eval_batches(
        dataset,
        name,
        batch_size=settings["batch_size"],
        image_size=settings["image_size"],
    )

  train = image_data.train_batches(
      dataset,
      batch_size=settings["batch_size"],
      seed=settings["seed"],
      image_size=settings["image_size"],
      augmentation=settings["augmentation"],
  )
  return evaluation.Batches(
      test=batches_of(split), validation=batches_of("validation"), train=train
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
    )
  except (ValueError, FileNotFoundError) as error:
    sys.exit(f"trainers.evaluate: {error}")


if __name__ == "__main__":
  app.run(main)
