"""What programs read in the folder of a finished run."""

import os
import pathlib
from typing import Any

from file_io import artifacts
import image_data
from trainers.evaluation import evaluation
from trainers.settings import config as config_lib
from trainers.settings import records
from trainers.training import batches as batches_lib

_WRITERS = {"evaluation.json": "evaluate", "comparison.json": "compare"}
# What is relied on in the results of evaluate, and in those of a reference.
EVALUATION = {
    "dataset": str,
    "split": str,
    "examples": int,
    "dense_macs": float,
    "gates": [{"name": str}],
    "strategies": {
        str: {name: float for name in ("accuracy", "open_rate", "macs")}
    },
}
_REFERENCE = {
    "dataset": str,
    "split": str,
    "dense_macs": float,
    "strategies": dict,
}
_UNGATED = {
    "strategies": {"always_open": EVALUATION["strategies"][str]},
}


def check_files(workdir: pathlib.Path, *names: str) -> None:
  """Raises a FileNotFoundError that says which program writes the file."""
  for name in names:
    if not (workdir / name).is_file():
      program = _WRITERS.get(name, "train")
      raise FileNotFoundError(
          f"{workdir} has no {name}. Run `python -m trainers.{program} "
          f"--workdir={workdir}` to the end first."
      )


def read_reference(
    workdir: str | os.PathLike, dataset: str, split: str
) -> dict[str, Any]:
  """Reads what an ungated network reached on the same examples.

  Args:
    workdir: of its run.
    dataset: name of the data set.
    split: that was evaluated.

  Returns:
    Its `evaluation.json`.

  Raises:
    FileNotFoundError: if it was not evaluated.
    ValueError: if it was evaluated on something else.
  """
  workdir = pathlib.Path(workdir).expanduser()
  check_files(workdir, "evaluation.json")
  path = workdir / "evaluation.json"
  value = artifacts.read_json(path, _REFERENCE, writer="trainers.evaluate")
  found = (value["dataset"], value["split"])
  if found != (dataset, split) or "always_open" not in value["strategies"]:
    raise ValueError(
        f"--reference must be evaluated as always_open on {split} of {dataset}."
        f" {workdir} holds {', '.join(value['strategies'])} on {found[1]} of "
        f"{found[0]}."
    )
  artifacts.check_shape(value, _UNGATED, path, writer="trainers.evaluate")
  return value


def batches(
    settings: dict[str, Any],
    dataset: image_data.ImageDataset,
    split: str,
    *,
    bad_examples: image_data.BadExamples | None = None,
    train: bool = False,
) -> evaluation.Batches:
  """What the network of a run is evaluated on.

  Args:
    settings: of its `config.json`.
    dataset: an `image_data.ImageDataset`.
    split: to report on.
    bad_examples: counts those of the split that cannot be read, an
      `image_data.BadExamples`.
    train: whether training batches are needed, too.

  Returns:
    `evaluation.Batches`.
  """
  config = config_lib.Config(**{**records.LATER, **settings})

  def batches_of(name, counted=None):
    return batches_lib.evaluation_examples(
        config, dataset, name, bad_examples=counted
    )

  return evaluation.Batches(
      test=batches_of(split, bad_examples),
      validation=batches_of("validation"),
      train=batches_lib.training_examples(config, dataset) if train else None,
  )


def seconds_per_step(history: list[dict[str, Any]]) -> float | None:
  """Of the fastest epoch: others may have waited for other programs.

  Args:
    history: the lines of `history.jsonl`.

  Returns:
    Seconds; None where each epoch was continued at its very end.
  """
  times = [line["seconds_per_step"] for line in history]
  return min((time for time in times if time is not None), default=None)
