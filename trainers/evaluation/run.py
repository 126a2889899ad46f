"""The evaluation of a finished run: a table, and `evaluation.json`."""

import os
import pathlib
from typing import Any

from scipy import stats

from file_io import artifacts
from file_io import writable
import image_data
import pgates
from run_data import reader
from trainers.evaluation import evaluation
from trainers.evaluation import options as options_lib
from trainers.evaluation import predictions
from trainers.evaluation import run_folder


def evaluate_run(
    workdir: str | os.PathLike,
    options: options_lib.Options,
    *,
    place: reader.Place = reader.WHERE_IT_WAS,
    max_bad_examples: int | None = None,
) -> dict[str, Any]:
  """Evaluates the network of a run's folder and writes the results.

  Args:
    workdir: the folder.
    options: what to evaluate, and how.
    place: of the run's data.
    max_bad_examples: how many may be skipped that cannot be read; None for any
      number.

  Returns:
    What the file holds.

  Raises:
    FileNotFoundError: if a folder holds no finished run, or no evaluation.
    ValueError: if a strategy is malformed, or more examples than allowed
      cannot be read.
    OSError: if the results cannot be written, or a file of the data set is
      damaged.
  """
  # A mistake would be found after the work of those before it.
  strategies = None
  if options.strategies != ["all"]:
    strategies = evaluation.parse(options.strategies)
  workdir = pathlib.Path(workdir).expanduser()
  run_folder.check_files(workdir, "config.json", options.model_file)
  path = options.output_path(workdir)
  writable.check_file(path, instead="--output")
  answers = options.predictions_path(workdir) if options.predictions else None
  if answers:
    writable.check_file(answers, instead="--output")
  settings, dataset = reader.open_data(workdir, place)
  reference = None
  if options.reference is not None:
    reference = run_folder.read_reference(
        options.reference, dataset.name, options.split
    )
  reader.import_modules(settings.get("import_modules", []))
  model = pgates.load_model(workdir / options.model_file)
  dense = reference["dense_macs"] if reference else model.macs.dense
  bad_examples = image_data.BadExamples(max_bad_examples)
  _print_header(reference, dense)
  with bad_examples.explained():
    batches = run_folder.batches(
        settings,
        dataset,
        options.split,
        bad_examples=bad_examples,
        train=options.recalibrate_batch_norm > 0,
    )
    measured = _measure(model, strategies, options, batches, dense)
    if answers:
      _predict(model, next(iter(measured["strategies"])), batches, answers)
  value = {
      "dataset": dataset.name,
      "split": options.split,
      "model_file": options.model_file,
      "execution": options.execution,
      "examples": dataset.num_examples(options.split) - len(bad_examples.names),
      "bad_examples": bad_examples.names,
      "recalibrate_batch_norm": options.recalibrate_batch_norm,
      **measured,
  }
  artifacts.write_json(path, value)
  print(f"MACs: multiply-adds per example, in % of {dense:,} dense ones.")
  strategy, result = next(iter(value["strategies"].items()))
  print(_uncertainty(strategy, result["accuracy"], value["examples"]))
  print(f"Wrote {path}.")
  return value


def _measure(model, strategies, options, batches, dense):
  """Evaluates, printing row by row; what the file says of the network."""
  results = {}
  for strategy, result in evaluation.evaluate(
      model,
      strategies or evaluation.all_strategies(model),
      batches,
      execution=options.execution,
      num_batches=options.recalibrate_batch_norm,
  ):
    results[strategy] = result
    print(_row(strategy, result, dense), flush=True)
  curves = {}
  if options.threshold_curve:
    curves["threshold_curves"] = {
        "validation": pgates.threshold_curve(model, batches.validation),
        "test": pgates.threshold_curve(model, batches.test),
    }
  return {**evaluation.summary(model, results), **curves}


def _predict(model, strategy, batches, path):
  found = predictions.predict(
      model,
      pgates.parse_strategy(strategy),
      validation=batches.validation,
      test=batches.test,
  )
  predictions.write(path, found)
  print(f"Wrote {path}, of {strategy}.")


def _print_header(reference, dense):
  print(_HEADER)
  if reference:
    ungated = reference["strategies"]["always_open"]
    print(_row("(reference)", ungated, dense))


def _uncertainty(strategy, accuracy, examples):
  """What so few images say of others of their kind."""
  test = stats.binomtest(round(accuracy * examples), examples)
  low, high = test.proportion_ci(method="wilson")
  return (
      f"Of {examples:,} images, {strategy}'s {100 * accuracy:.2f} % stand for "
      f"{100 * low:.2f} to {100 * high:.2f} % (95 %, Wilson's interval)."
  )


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
