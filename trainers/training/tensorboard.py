"""TensorBoard's files of a run."""

from collections.abc import Sequence
import os
from typing import Any

import matplotlib
import numpy as np
from tensorboard.plugins.hparams import api as hparams_api
import tensorflow as tf

import pgates
from trainers.training import gate_probe

_TAGS = {
    "loss": "loss/total",
    "task_loss": "loss/task",
    "rate_loss": "loss/rate",
    "accuracy": "accuracy",
    "open_rate": "gates/open_rate",
    "macs": "gates/macs",
    "learning_rate": "schedule/learning_rate",
    "temperature": "schedule/temperature",
}
_CELL = 16  # Pixels a side of a trial of the heat map.
_NOTHING = (0.5, 0.5, 0.5)  # The colour of classes without examples.


class EpochWriter:
  """Writes what an epoch ended with.

  Scalars; the open rate of each gate; and, where there is a probe, histograms
  of the gates' probabilities and the open rates of blocks on classes. With
  `ema_momentum`, these two are of the weights that are trained, the scalars of
  validation of their average.

  Args:
    directory: TensorBoard's folder; training and validation have one each.
    block_names: of the gates.
    settings: dict of the run, for the table of HParams.
    probe: a `gate_probe.GateProbe`, or None.
    num_classes: of the data set.
  """

  def __init__(
      self,
      directory: str | os.PathLike,
      *,
      block_names: list[str],
      settings: dict[str, Any] | None = None,
      probe: gate_probe.GateProbe | None = None,
      num_classes: int = 0,
  ):
    self._tags = [_grouped(name) for name in block_names]
    self._probe = probe
    self._num_classes = num_classes
    self._writers = {
        "": tf.summary.create_file_writer(f"{directory}/train"),
        "val_": tf.summary.create_file_writer(f"{directory}/validation"),
    }
    if settings is not None:
      with tf.summary.create_file_writer(str(directory)).as_default():
        hparams_api.hparams(_hparams(settings), trial_id=str(directory))

  def write(self, record: dict[str, Any]) -> None:
    """Writes one line of `history.jsonl`, a dict."""
    for prefix, writer in self._writers.items():
      with writer.as_default(step=record["epoch"]):
        for name, tag in _TAGS.items():
          if record.get(prefix + name) is not None:
            tf.summary.scalar(tag, record[prefix + name])
        rates = record[f"{prefix}gate_open_rates"]
        for tag, rate in zip(self._tags, rates, strict=True):
          tf.summary.scalar(f"open_rates_{tag}", rate)
        if prefix and self._probe is not None:
          self._write_sample(*self._probe.sample())
      writer.flush()

  def _write_sample(self, probabilities, gates):
    for tag, column in zip(self._tags, probabilities.T, strict=True):
      tf.summary.histogram(f"probabilities_{tag}", column, buckets=20)
    rates = pgates.class_open_rates(
        gates, self._probe.labels, self._num_classes
    )
    tf.summary.image(
        "open_rates_by_class",
        heat_map(rates)[None],
        description="Rows: classes. Columns: blocks. Blue: 0, yellow: 1.",
    )


def _grouped(name):
  """`stage1/block0`: TensorBoard folds up what stands before the slash."""
  group, _, own = name.rpartition("_")
  return f"{group}/{own}" if group else f"blocks/{own}"


def _hparams(settings):
  """Lists and None as text, which is all that the table can hold."""
  plain = (bool, int, float, str)
  return {
      name: value if isinstance(value, plain) else str(value)
      for name, value in settings.items()
  }


def heat_map(rates: np.ndarray) -> np.ndarray:
  """An image of open rates.

  Args:
    rates: [rows, columns] in [0, 1]; NaN is grey.

  Returns:
    uint8 [16 * rows, 16 * columns, 3].
  """
  colors = matplotlib.colormaps["cividis"](rates)[..., :3]
  colors = np.where(np.isnan(rates)[..., None], _NOTHING, colors)
  pixels = np.rint(255 * colors).astype(np.uint8)
  return pixels.repeat(_CELL, axis=0).repeat(_CELL, axis=1)


def write_hparams_of(
    directory: str | os.PathLike, names: Sequence[str]
) -> None:
  """Says which settings the table of a comparison shows, and which results.

  Args:
    directory: that TensorBoard is pointed to.
    names: of the settings that differ between runs.
  """
  metrics = [
      hparams_api.Metric(_TAGS[name], group="validation", display_name=name)
      for name in ("accuracy", "open_rate", "macs")
  ]
  columns = [hparams_api.HParam(name) for name in names]
  with tf.summary.create_file_writer(str(directory)).as_default():
    hparams_api.hparams_config(hparams=columns, metrics=metrics)
