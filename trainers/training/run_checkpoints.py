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
_ERRORS = (
    tf.errors.OpError,
    OSError,
    ValueError,
    TypeError,
    AssertionError,
    LookupError,
)
_WRITING = ".writing-"


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
    for old in existing(self._directory)[: -self._keep]:
      shutil.rmtree(old)

  def _write(self, position):
    self._directory.mkdir(parents=True, exist_ok=True)
    steps = position.epoch * self._steps_per_epoch + position.step
    target = self._directory / f"step-{steps:09d}"
    with tempfile.TemporaryDirectory(
        dir=self._directory, prefix=_WRITING
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

    Newer ones, which are damaged, and what was being written when a process
    was killed, are removed.

    Returns:
      Its `Position`; the start, where there is no checkpoint.

    Raises:
      ValueError: if there are checkpoints, but none is whole.
    """
    damaged = {}
    for path in reversed(existing(self._directory)):
      try:
        position = Position(**artifacts.read_json(path / "position.json"))
        self._state.read(str(path / "state")).assert_consumed()
        self._remove([*damaged, *self._directory.glob(f"{_WRITING}*")])
        return position
      except _ERRORS as error:
        damaged[path] = str(error).splitlines()[0]
        logging.warning(
            "%s is damaged, trying the one before: %s", path, damaged[path]
        )
    if damaged:
      raise ValueError(
          f"None of the checkpoints in {self._directory} can be read: "
          f"{next(iter(damaged.values()))}. If the network has changed since, "
          "change it back; if they are damaged, remove that folder to start "
          "the run anew."
      )
    self._remove(self._directory.glob(f"{_WRITING}*"))
    return Position()

  def _remove(self, paths):
    # Else damaged ones would be kept as the newest, in place of good ones.
    for path in paths if self._writes else ():
      shutil.rmtree(path)


def existing(directory):
  """The checkpoints in a folder, whole or not, the newest last."""
  directory = pathlib.Path(directory)
  if not directory.is_dir():
    return []
  return sorted(
      path for path in directory.iterdir() if _NAME.fullmatch(path.name)
  )
