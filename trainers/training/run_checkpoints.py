"""Checkpoints from which a run continues as if it had never stopped."""

from collections.abc import Sequence
import dataclasses
import os
import pathlib
import re
import shutil
import tempfile
import time
from typing import Any

from absl import logging
import tensorflow as tf

from file_io import artifacts
from file_io import scratch
import pgates

# Not `tf.train.CheckpointManager`: it offers the newest, whole or not; here a
# run continues from the one before where the newest is damaged.
_NAME = re.compile(r"step-(\d{9})")
# A file that is not there is damage; other errors of the system are of the disk
# or the rights to it, not of what was written.
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_UNREADABLE = (
    OSError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
)
# TensorFlow's reader raises an IndexError where the data are cut.
_DAMAGES = (
    tf.errors.OpError,
    ValueError,
    TypeError,
    AssertionError,
    LookupError,
)
_WRITING = ".writing-"
_HISTORY = "history.jsonl"
# Of a network disk, the listing may be late.
_PATIENCE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Position:
  """How far a run has come: whole epochs, and steps into the next."""

  epoch: int = 0
  step: int = 0


class RunCheckpoints:
  """The checkpoints of one run, each a folder made whole and renamed in.

  They hold the state of the network, noise generators, optimizer and metrics,
  and the history of the run so far.

  Args:
    directory: where they lie.
    model: a compiled `pgates.GatedModel` with a built optimizer.
    steps_per_epoch: of the run.
    keep: how many of the newest stay.
    writes: whether this process writes; of several workers, the first.
  """

  def __init__(
      self,
      directory: str | os.PathLike,
      model: pgates.GatedModel,
      *,
      steps_per_epoch: int,
      keep: int = 2,
      writes: bool = True,
  ):
    self._directory = pathlib.Path(directory)
    self._steps_per_epoch = steps_per_epoch
    self._keep = keep
    self._writes = writes
    metrics = [v for metric in model.metrics for v in metric.variables]
    variables = [*model.variables, *model.optimizer.variables, *metrics]
    self._state = tf.train.Checkpoint(
        variables=[variable.value for variable in variables]
    )

  def save(
      self, position: Position, history: Sequence[dict[str, Any]] = ()
  ) -> None:
    """Writes a checkpoint and removes the oldest, or warns that it cannot.

    Args:
      position: of the run.
      history: the lines of its whole epochs.

    Raises:
      OSError: if it cannot be written; the others stay.
    """
    if not self._writes:
      # Metrics are summed over the workers when they are read: all must read.
      with tempfile.TemporaryDirectory() as unused:
        self._state.write(os.path.join(unused, "state"))
      return
    try:
      self._write(position, history)
    except (tf.errors.UnavailableError, tf.errors.AbortedError):
      raise  # Not the disk: another worker is gone.
    except (OSError, tf.errors.OpError) as error:
      raise OSError(
          f"A checkpoint could not be written to {self._directory}: "
          f"{str(error).splitlines()[0]}. The ones before are whole; with "
          "space on the disk, the same command continues from them."
      ) from error
    for old in existing(self._directory)[: -self._keep]:
      scratch.remove(old, "an old checkpoint")

  def history(self, position: Position) -> list[dict[str, Any]] | None:
    """The history that was saved at a position; None in older checkpoints."""
    path = self._target(position) / _HISTORY
    return artifacts.read_json_lines(path) if path.exists() else None

  def _write(self, position, history):
    self._directory.mkdir(parents=True, exist_ok=True)
    target = self._target(position)
    with scratch.folder(self._directory, _WRITING) as temporary:
      whole = temporary / "whole"
      with scratch.without_pattern(temporary) as plain:
        self._state.write(str(plain / "whole" / "state"))
      artifacts.write_json(
          whole / "position.json", dataclasses.asdict(position)
      )
      artifacts.write_json_lines(whole / _HISTORY, history)
      if target.exists():  # One at the end of an epoch, or a damaged one.
        target.rename(whole.with_name("replaced"))
      whole.rename(target)

  def restore(self) -> Position:
    """Restores the newest checkpoint that is whole.

    Newer ones, which are damaged, and what was being written when a process
    was killed, are then removed.

    Returns:
      Its `Position`; the start, where there is no checkpoint.

    Raises:
      OSError: if a checkpoint cannot be read, or a damaged one not removed;
        no whole one was removed then.
      ValueError: if there are checkpoints, but none is whole.
    """
    leftovers = [*self._directory.glob(f"{_WRITING}*")]
    if self._writes:
      for leftover in leftovers:
        self._finish_replacing(leftover)
    damaged = {}
    for path in reversed(existing(self._directory)):
      position = self._read(path, damaged)
      if position is not None:
        self._clean(damaged, leftovers)
        return position
    if damaged:
      raise ValueError(
          f"None of the checkpoints in {self._directory} can be read: "
          f"{next(iter(damaged.values()))}. If the network has changed since, "
          "change it back; if they are damaged, remove that folder to start "
          "the run anew."
      )
    self._clean([], leftovers)
    return Position()

  def restore_at(self, position: Position) -> None:
    """Restores the checkpoint that another process has found.

    Args:
      position: where it is; nothing is read at the start.

    Raises:
      FileNotFoundError: if it does not come up within a minute.
      OSError: if it cannot be read.
      ValueError: if it is damaged.
    """
    if position == Position():
      return
    path = self._target(position)
    end = time.monotonic() + _PATIENCE_SECONDS
    while not (path / "position.json").exists():
      if time.monotonic() > end:
        raise FileNotFoundError(f"There is no {path} here.")
      time.sleep(0.5)
    damaged = {}
    if self._read(path, damaged) is None:
      raise ValueError(f"{path} cannot be read here: {damaged[path]}.")

  def _read(self, path, damaged):
    """Reads a checkpoint; None, and a line in `damaged`, if it is."""
    try:
      position = _read_position(path, self._steps_per_epoch)
      with scratch.without_pattern(path) as plain:
        self._state.read(str(plain / "state")).assert_consumed()
      return position
    except _MISSING as error:
      damaged[path] = str(error).splitlines()[0]
    except _UNREADABLE as error:
      raise OSError(
          f"{path} cannot be read: {str(error).splitlines()[0]}. Nothing was "
          "removed; once it can be read, the same command continues from it."
      ) from error
    except _DAMAGES as error:
      damaged[path] = str(error).splitlines()[0]
    logging.warning(
        "%s is damaged, trying the one before: %s", path, damaged[path]
    )
    return None

  def _finish_replacing(self, leftover):
    """Ends what a kill between the two renames of `_write` has left."""
    whole = leftover / "whole"
    if not (whole.exists() and (leftover / "replaced").exists()):
      return
    # Both were whole, and the old one had been moved away.
    value = artifacts.read_json(
        whole / "position.json",
        {"epoch": int, "step": int},
        writer="trainers.train",
    )
    position = Position(value["epoch"], value["step"])
    target = self._target(position)
    if not target.exists():
      whole.rename(target)

  def _clean(self, damaged, leftovers):
    if not self._writes:
      return
    for path in damaged:
      # Else it would be kept as the newest, in place of good ones.
      try:
        shutil.rmtree(path)
      except OSError as error:
        raise OSError(
            f"{path} is damaged, and cannot be removed: {error}. Remove it; "
            "the same command then continues from the one before."
        ) from error
    for path in leftovers:
      scratch.remove(path)

  def _target(self, position):
    steps = position.epoch * self._steps_per_epoch + position.step
    return self._directory / f"step-{steps:09d}"


def _read_position(path, steps_per_epoch):
  """The position of a checkpoint; a ValueError if it cannot be."""
  value = artifacts.read_json(path / "position.json")
  # Written so that True is refused.
  if not isinstance(value, dict) or {*map(type, value.values())} != {int}:
    raise ValueError(f"position.json holds {value}, not two whole numbers.")
  position = Position(**value)
  steps = position.epoch * steps_per_epoch + position.step
  if min(value.values()) < 0 or steps != int(_NAME.fullmatch(path.name)[1]):
    raise ValueError(
        f"position.json holds {value}, at {steps_per_epoch} steps an epoch, "
        f"in {path.name}."
    )
  return position


def existing(directory: str | os.PathLike) -> list[pathlib.Path]:
  """The checkpoints in a folder, whole or not, the newest last."""
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    return []
  return sorted(
      path for path in directory.iterdir() if _NAME.fullmatch(path.name)
  )
