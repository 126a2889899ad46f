"""What a run writes into its folder, besides its checkpoints."""

from collections.abc import Callable
import dataclasses
import importlib.metadata
import os
import pathlib
import sys
from typing import Any

import keras
import numpy as np

from file_io import artifacts
import image_data
from run_data import reader
from run_data import trained_data
from trainers.settings import config as config_lib
from trainers.settings import records
from trainers.training import tensorboard

# Of a run that is finished.
NAMES = ("config.json", "history.jsonl", "model.keras", "best.keras")
_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")


class RunFiles:
  """The files of an epoch; of several workers, the chief's.

  Args:
    workdir: the folder of the run.
    epoch_writer: for TensorBoard.
    save_best: called after an epoch whose validation accuracy is the highest
      so far; or None.
  """

  # Whether this process writes.
  is_chief = True

  def __init__(
      self,
      workdir: str | os.PathLike,
      epoch_writer: tensorboard.EpochWriter,
      save_best: Callable[[], None] | None = None,
  ):
    self._history_path = history_path(workdir)
    self._epoch_writer = epoch_writer
    self._save_best = save_best

  def write_epoch(self, history: list[dict[str, Any]]) -> None:
    """Writes the last epoch.

    Args:
      history: the lines of all epochs so far.
    """
    artifacts.write_json_lines(self._history_path, history)
    self._epoch_writer.write(history[-1])
    if self._save_best is not None and _is_best(history):
      self._save_best()


class NoFiles:
  """Of a worker that is not the chief."""

  is_chief = False

  def write_epoch(self, history: list[dict[str, Any]]) -> None:
    """Writes nothing."""


def history_path(workdir: str | os.PathLike) -> pathlib.Path:
  """The file of one line an epoch."""
  return pathlib.Path(workdir) / "history.jsonl"


def _is_best(history):
  """Whether the last epoch's validation accuracy is above all before."""
  *before, last = (line["val_accuracy"] or 0.0 for line in history)
  return last > max(before, default=-1.0)


def check_same_run(
    config: config_lib.Config, workdir: str | os.PathLike
) -> None:
  """Refuses a folder that holds a run of other settings.

  Raises:
    ValueError: names the differences.
  """
  theirs = reader.read_settings(workdir)
  if not theirs:
    return
  found = records.differences(dataclasses.asdict(config), theirs)
  if found:
    raise ValueError(
        f"{workdir} holds a run of other settings: {'; '.join(found)}. Give "
        "the same flags to continue it, or another --workdir."
    )


def write_config(
    config: config_lib.Config,
    dataset: image_data.ImageDataset,
    workdir: pathlib.Path,
) -> None:
  """Writes `config.json`, where there is none yet."""
  if (workdir / "config.json").exists():
    return
  artifacts.write_json(
      workdir / "config.json",
      {
          "settings": dataclasses.asdict(config),
          "data": trained_data.describe(dataset),
          "command": sys.argv,
          "versions": {
              "python": sys.version.split()[0],
              **{name: importlib.metadata.version(name) for name in _PACKAGES},
          },
      },
  )


def save_model(model: keras.Model, path: str | os.PathLike) -> None:
  """Writes a model whole; with the averaged weights, where there are some.

  Args:
    model: a compiled `pgates.GatedModel`, which stays as it is.
    path: of the `.keras` file.

  Raises:
    FloatingPointError: if a weight is not finite; names it.
  """
  trained = [np.asarray(variable) for variable in model.trainable_weights]
  model.optimizer.finalize_variable_values(model.trainable_weights)
  try:
    _check_finite(model)
    with artifacts.replacing(path) as temporary:
      model.save(temporary)
  finally:
    for variable, value in zip(model.trainable_weights, trained, strict=True):
      variable.assign(value)


def _check_finite(model):
  for variable in model.weights:
    if not np.isfinite(np.asarray(variable, np.float64)).all():
      raise FloatingPointError(
          f"{variable.path} is not finite: the network is not saved. Look at "
          "the learning rate."
      )
