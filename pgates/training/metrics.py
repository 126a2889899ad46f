"""Metrics of gates: open rates and mode collapse."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="pgates")
class GateOpenRates(keras.metrics.Metric):
  """Share of examples for which each block ran.

  Args:
    num_blocks: columns of the gates.
    name: of the metric.
    dtype: of the metric.

  Call arguments:
    gates: [batch, blocks].

  Returns:
    float32 [blocks]; 0 before the first example.
  """

  def __init__(
      self,
      num_blocks: int,
      *,
      name: str = "gate_open_rates",
      dtype: str | None = None,
  ):
    super().__init__(name=name, dtype=dtype)
    self.num_blocks = num_blocks
    self.open = self.add_variable((num_blocks,), "zeros", name="open")
    self.count = self.add_variable((), "zeros", name="count")

  def update_state(
      self, gates: tf.Tensor, sample_weight: tf.Tensor | None = None
  ) -> None:
    del sample_weight  # Weights are of examples' labels, not of their gates.
    self.open.assign_add(tf.reduce_sum(tf.cast(gates, self.dtype), axis=0))
    self.count.assign_add(tf.cast(tf.shape(gates)[0], self.dtype))

  def result(self) -> tf.Tensor:
    return tf.math.divide_no_nan(
        tf.convert_to_tensor(self.open), tf.convert_to_tensor(self.count)
    )

  def get_config(self) -> dict[str, Any]:
    return {**super().get_config(), "num_blocks": self.num_blocks}


def collapsed_share(
    open_rates: np.ndarray, *, low: float = 0.05, high: float = 0.95
) -> float:
  """Share of blocks that almost never or almost always run.

  Args:
    open_rates: array [blocks], over a whole evaluation set.
    low: rates below it count as never.
    high: rates above it count as always.

  Returns:
    A float in [0, 1].
  """
  open_rates = np.asarray(open_rates, np.float64)
  return float(np.mean((open_rates < low) | (open_rates > high)))


def class_open_rates(
    gates: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
  """Open rate of each block on the examples of each class.

  Args:
    gates: [examples, blocks], 1 where a block ran.
    labels: integers [examples] or [examples, 1].
    num_classes: rows.

  Returns:
    float64 [classes, blocks]; NaN for a class without examples.
  """
  gates, labels = np.asarray(gates, np.float64), np.ravel(labels)
  rates = np.full((num_classes, gates.shape[1]), np.nan)
  for label in np.unique(labels):
    rates[label] = gates[labels == label].mean(axis=0)
  return rates


def open_rate_variance(open_rates: np.ndarray) -> float:
  """Variance over blocks of their open rates; see `losses`."""
  return float(np.var(np.asarray(open_rates, np.float64)))
