"""What a run writes into its folder, besides its checkpoints."""

from collections.abc import Callable
import dataclasses
import importlib.metadata
import os
import pathlib
import sys
from typing import Any

from absl import logging
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


def read_history(workdir: str | os.PathLike) -> list[dict[str, Any]]:
  """The history that the folder holds.

  Raises:
    ValueError: if a line is none of a history; names the file.
  """
  return artifacts.read_json_lines(
      history_path(workdir), {"val_accuracy": object}, writer="trainers.train"
  )


def restore_history(
    workdir: str | os.PathLike, history: list[dict[str, Any]]
) -> None:
  """Writes the history as the checkpoint has it, where the file has less.

  Args:
    workdir: the folder of the run.
    history: its lines.
  """
  path = history_path(workdir)
  try:
    found = read_history(workdir)
  except ValueError:
    found = []
  if found[: len(history)] != history:
    logging.warning(
        "%s is not that of the run; it is written again from the checkpoint, "
        "up to epoch %d.",
        path,
        len(history),
    )
    artifacts.write_json_lines(path, history)


def _is_best(history):
  """Whether the last epoch's validation accuracy is above all before."""
  *before, last = (line["val_accuracy"] or 0.0 for line in history)
  return last > max(before, default=-1.0)


def settings_to_continue(
    config: config_lib.Config, workdir: str | os.PathLike
) -> config_lib.Config:
  """The settings that a folder's run goes on by; the given ones if it is new.

  They differ where a run is older than a setting: see `records.continued`.

  Raises:
    ValueError: if the run has other settings; names the differences.
  """
  theirs = reader.read_settings(workdir)
  if not theirs:
    return config
  ours = records.continued(dataclasses.asdict(config), theirs)
  found = records.differences(ours, theirs)
  if found:
    raise ValueError(
        f"{workdir} holds a run of other settings: {'; '.join(found)}. Give "
        "the same flags to continue it, or another --workdir."
    )
  return config_lib.Config(**ours)


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
