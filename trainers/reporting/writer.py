"""The page of a run or a comparison: what goes in, and the file."""

import os
import pathlib

from file_io import artifacts
from file_io import writable
import image_data
import pgates
from run_data import reader
from trainers.evaluation import run_folder
from trainers.reporting import acceleration as report_acceleration
from trainers.reporting import comparison as report_comparison
from trainers.reporting import measurements as report_measurements
from trainers.reporting import run as report_run

# What is relied on.
_COMPARISON = {
    "command": [str],
    "recipe": {"network": str, "dataset": str},
    "blocks": [str],
    "rows": [{"method": str, "target_rate": object, "strategies": dict}],
    "equal_macs": [{"macs_share": float, "accuracy": dict}],
    "answers": dict,
    "cells": [{"method": str, "target_rate": object, "strategies": dict}],
}
_EXPORT = {
    "dataset": str,
    "variants": [
        {
            **dict.fromkeys(("gating", "format", "quantization"), str),
            **dict.fromkeys(("accuracy", "macs", "bytes"), float),
        }
    ],
}


def write_report(
    workdir: str | os.PathLike,
    *,
    reference: str | os.PathLike | None = None,
    export: str | os.PathLike | None = None,
    place: reader.Place = reader.WHERE_IT_WAS,
    evaluation: str | os.PathLike | None = None,
    output: str | os.PathLike | None = None,
) -> pathlib.Path:
  """Writes the page of a run or a comparison.

  A comparison gets its main plot as `comparison.svg` beside it, too. A run of
  an acceleration shows what else that has tried.

  Args:
    workdir: the folder.
    reference: the workdir of an ungated network to mark, for a run; or None.
    export: the folder of its exports, for a run; or None.
    place: of the run's data.
    evaluation: the results of a run; None for `evaluation.json` of the folder.
    output: the page; None for `report.html` of the folder.

  Returns:
    The path of the page.

  Raises:
    FileNotFoundError: if something is missing; says what writes it.
    OSError: if the page cannot be written.
    ValueError: if the reference was evaluated, or the export made, on something
      else.
  """
  workdir = pathlib.Path(workdir).expanduser()
  path = pathlib.Path(output or workdir / "report.html").expanduser()
  writable.check_file(path, instead="--output")
  if (workdir / "recipe.json").exists():
    text = _of_comparison(workdir, path.parent)
  else:
    text = _of_run(workdir, reference, export, place, evaluation)
  artifacts.write_text(path, text)
  return path


def _of_comparison(workdir, folder):
  run_folder.check_files(workdir, "comparison.json")
  value = artifacts.read_json(
      workdir / "comparison.json", _COMPARISON, writer="trainers.compare"
  )
  plot = report_comparison.methods_plot(value, standalone=True)
  artifacts.write_text(folder / "comparison.svg", plot)
  return report_comparison.page(value)


def _of_run(workdir, reference, export, place, evaluation):
  run_folder.check_files(workdir, "config.json")
  if evaluation is None:
    run_folder.check_files(workdir, "evaluation.json")
    evaluation = workdir / "evaluation.json"
  settings, dataset = reader.open_data(workdir, place)
  evaluation = artifacts.read_json(
      pathlib.Path(evaluation).expanduser(),
      run_folder.EVALUATION,
      writer="trainers.evaluate",
  )
  split = evaluation["split"]
  ungated = None
  if reference is not None:
    ungated = run_folder.read_reference(reference, dataset.name, split)
  exported = None
  if export is not None:
    exported = _read_export(export, dataset.name)
  # Older evaluations do not say.
  model_file = evaluation.get("model_file", "model.keras")
  run_folder.check_files(workdir, model_file)
  reader.import_modules(settings.get("import_modules", []))
  model = pgates.load_model(workdir / model_file)
  decisions = None
  if any(block.gate is not None for block in pgates.gated_blocks(model)):
    # Evaluation has bounded how many cannot be read.
    bad_examples = image_data.BadExamples()
    with bad_examples.explained():
      batches = run_folder.batches(
          settings, dataset, split, bad_examples=bad_examples
      )
      decisions = report_measurements.decide(model, batches.test)
  run = report_run.Run(
      name=workdir.name,
      settings=settings,
      evaluation=evaluation,
      history=artifacts.read_json_lines(
          workdir / "history.jsonl",
          {"epoch": int, "gate_open_rates": list},
          writer="trainers.train",
      ),
      classes=dataset.class_names,
      acceleration=_read_acceleration(workdir.parent),
  )
  return report_run.page(
      run, decisions=decisions, ungated=ungated, exported=exported
  )


def _read_acceleration(folder):
  path = folder / "accelerated.json"
  if not path.is_file():
    return None
  return artifacts.read_json(
      path, report_acceleration.SHAPE, writer="trainers.accelerate"
  )


def _read_export(folder, dataset):
  path = pathlib.Path(folder).expanduser() / "export.json"
  if not path.is_file():
    raise FileNotFoundError(
        f"{folder} has no export.json: give the --output_dir of "
        "`python -m export.export_model`."
    )
  value = artifacts.read_json(path, _EXPORT, writer="export.export_model")
  if value["dataset"] != dataset:
    raise ValueError(
        f"--export must be of this run, on {dataset}. {folder} holds exports "
        f"measured on {value['dataset']}."
    )
  return value
