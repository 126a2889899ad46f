"""Callbacks for `fit`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from pgates import graphs


class TemperatureSchedule(keras.callbacks.Callback):
  """Moves the temperature of all gates while training.

  Args:
    schedule: callable, step -> positive temperature; for one,
      `keras.optimizers.schedules.ExponentialDecay`.
  """

  def __init__(self, schedule: Callable[[int], float]):
    super().__init__()
    self.schedule = schedule

  def on_train_batch_begin(
      self, batch: int, logs: dict[str, Any] | None = None
  ) -> None:
    # Not `int` alone, which cannot read a variable that replicas mirror.
    step = int(np.asarray(self.model.optimizer.iterations))
    temperature = float(self.schedule(step))
    if not 0 < temperature < float("inf"):  # Nor NaN.
      raise ValueError(
          "A temperature must be a positive number. The schedule gave "
          f"{temperature} at step {step}."
      )
    for block in graphs.gated_blocks(self.model):
      if block.gate is not None:
        block.gate.current_temperature.assign(temperature)
