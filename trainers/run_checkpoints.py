"""Checkpoints from which a run continues as if it had never stopped."""

import dataclasses
import os
import pathlib
import re
import shutil
import tempfile

from absl import logging
import tensorflow as tf

from file_io import artifacts

_NAME = re.compile(r"step-(\d{9})")
# TensorFlow's reader raises an IndexError where the data are cut.
_ERRORS = (tf.errors.OpError, OSError, ValueError, AssertionError, LookupError)


@dataclasses.dataclass(frozen=True)
class Position:
  """How far a run has come: whole epochs, and steps into the next."""

  epoch: int = 0
  step: int = 0


class RunCheckpoints:
  """The checkpoints of one run, each a folder made whole and renamed in.

  They hold the state of the network, noise generators, optimizer and metrics.

  Args:
    directory: where they lie.
    model: a compiled `pgates.GatedModel` with a built optimizer.
    steps_per_epoch: of the run.
    keep: how many of the newest stay.
    writes: whether this process writes; of several workers, the first.
  """

  def __init__(self, directory, model, *, steps_per_epoch, keep=2, writes=True):
    self._directory = pathlib.Path(directory)
    self._steps_per_epoch = steps_per_epoch
    self._keep = keep
    self._writes = writes
    metrics = [v for metric in model.metrics for v in metric.variables]
    variables = [*model.variables, *model.optimizer.variables, *metrics]
    self._state = tf.train.Checkpoint(
        variables=[variable.value for variable in variables]
    )

  def save(self, position):
    """Writes a checkpoint and removes the oldest.

    Raises:
      OSError: if it cannot be written; the others stay.
    """
    if not self._writes:
      # Metrics are summed over the workers when they are read: all must read.
      with tempfile.TemporaryDirectory() as unused:
        self._state.write(os.path.join(unused, "state"))
      return
    try:
      self._write(position)
    except (tf.errors.UnavailableError, tf.errors.AbortedError):
      raise  # Not the disk: another worker is gone.
    except (OSError, tf.errors.OpError) as error:
      raise OSError(
          f"A checkpoint could not be written to {self._directory}: "
          f"{str(error).splitlines()[0]}. The ones before are whole; with "
          "space on the disk, the same command continues from them."
      ) from error
    for old in self._existing()[: -self._keep]:
      shutil.rmtree(old)

  def _write(self, position):
    self._directory.mkdir(parents=True, exist_ok=True)
    steps = position.epoch * self._steps_per_epoch + position.step
    target = self._directory / f"step-{steps:09d}"
    with tempfile.TemporaryDirectory(
        dir=self._directory, prefix=".writing-"
    ) as temporary:
      whole = pathlib.Path(temporary) / "whole"
      self._state.write(str(whole / "state"))
      artifacts.write_json(
          whole / "position.json", dataclasses.asdict(position)
      )
      if target.exists():  # One at the end of an epoch, or a damaged one.
        target.rename(whole.with_name("replaced"))
      whole.rename(target)

  def restore(self):
    """Restores the newest checkpoint that is whole.

    Returns:
      Its `Position`; the start, where there is no checkpoint.

    Raises:
      ValueError: if there are checkpoints, but none is whole.
    """
    existing = self._existing()
    for path in reversed(existing):
      try:
        position = Position(**artifacts.read_json(path / "position.json"))
        self._state.read(str(path / "state")).assert_consumed()
        return position
      except _ERRORS as error:
        reason = str(error).splitlines()[0]
        logging.warning(
            "%s is damaged, trying the one before: %s", path, reason
        )
    if existing:
      raise ValueError(
          f"None of the checkpoints in {self._directory} can be read. Remove "
          "that folder to start the run anew."
      )
    return Position()

  def _existing(self):
    if not self._directory.is_dir():
      return []
    return sorted(
        path for path in self._directory.iterdir() if _NAME.fullmatch(path.name)
    )
