"""The loop over epochs and steps, which may stop after any step."""

import math
import sys
import time
from typing import Any
import warnings

import keras
import numpy as np
import tensorflow as tf

import pgates
from trainers.training import distribution
from trainers.training import run_checkpoints
from trainers.training import run_files


class Stopped(Exception):
  """The run was asked to stop, and has saved its state."""


class Loop:
  """Epochs of training and validation.

  Keras's `fit` can start at an epoch, but not within one.

  Args:
    model: a compiled `pgates.GatedModel`.
    epochs: to train in all.
    steps_per_epoch: of a whole epoch.
    checkpoints: `RunCheckpoints`.
    checkpoint_steps: after how many steps within an epoch the state is saved,
      again and again.
    files: `run_files.RunFiles`, or `NoFiles`.
  """

  def __init__(
      self,
      model: pgates.GatedModel,
      *,
      epochs: int,
      steps_per_epoch: int,
      checkpoints: run_checkpoints.RunCheckpoints,
      checkpoint_steps: int,
      files: run_files.RunFiles | run_files.NoFiles,
  ):
    self._model = model
    self._epochs = epochs
    self._steps_per_epoch = steps_per_epoch
    self._checkpoints = checkpoints
    self._checkpoint_steps = checkpoint_steps
    self._files = files
    self._history = []
    self._stop_requested = False
    self._any_worker = distribution.any_worker(model.distribute_strategy)

  def request_stop(self) -> None:
    """Lets the loop save and raise `Stopped` after the current step."""
    self._stop_requested = True

  def run(
      self,
      train: tf.data.Dataset,
      validation: tf.data.Dataset,
      *,
      position: run_checkpoints.Position,
      history: list[dict[str, Any]],
      callbacks: list[keras.callbacks.Callback],
  ) -> None:
    """Trains from a position to the end.

    Args:
      train: data set of batches, starting at the position.
      validation: data set of batches.
      position: where the run is.
      history: lines of the epochs before the position.
      callbacks: Keras callbacks.

    Raises:
      Stopped: after `request_stop`, when the state is saved.
    """
    self._history = [*history]
    callbacks = keras.callbacks.CallbackList(
        callbacks,
        add_progbar=True,
        model=self._model,
        epochs=self._epochs,
        steps=self._steps_per_epoch,
        verbose=self._verbosity(),
    )
    strategy = self._model.distribute_strategy
    batches = iter(strategy.experimental_distribute_dataset(train))
    callbacks.on_train_begin()
    for epoch in range(position.epoch, self._epochs):
      first = position.step if epoch == position.epoch else 0
      self._history.append(
          self._run_epoch(batches, validation, epoch, first, callbacks)
      )
      self._files.write_epoch(self._history)
      self._save(run_checkpoints.Position(epoch + 1))
      if self._any_worker(self._stop_requested):
        raise Stopped
    callbacks.on_train_end()

  def _run_epoch(self, batches, validation, epoch, first, callbacks):
    """Trains and validates; returns the epoch's line of the history."""
    start = time.monotonic()
    callbacks.on_epoch_begin(epoch)
    if not first:
      self._model.reset_metrics()
    self._train(batches, epoch, first, callbacks)
    train = self._metrics()
    seconds = {"seconds_per_step": None}
    if first < self._steps_per_epoch:  # Else it was stopped at its very end.
      elapsed = time.monotonic() - start
      seconds["seconds_per_step"] = elapsed / (self._steps_per_epoch - first)
    rates = {"gate_open_rates": self._rates()}
    evaluate(self._model, validation, callbacks=callbacks)
    train |= {f"val_{name}": value for name, value in self._metrics().items()}
    _check_finite(train, epoch)
    rates["val_gate_open_rates"] = self._rates()
    callbacks.on_epoch_end(epoch, train)
    seconds["seconds"] = round(time.monotonic() - start, 3)
    return {
        "epoch": epoch + 1,
        # JSON has no NaN; callbacks want one.
        **{k: v if math.isfinite(v) else None for k, v in train.items()},
        **self._schedules(),
        **rates,
        **seconds,
    }

  def _train(self, batches, epoch, first, callbacks):
    train_step = self._model.make_train_function()
    for step in range(first, self._steps_per_epoch):
      callbacks.on_train_batch_begin(step)
      logs = train_step(batches)
      callbacks.on_train_batch_end(step, logs)
      stops = self._any_worker(self._stop_requested)
      # At its end, an epoch is saved with its history.
      is_due = (step + 1) % self._checkpoint_steps == 0
      if stops or (is_due and step + 1 < self._steps_per_epoch):
        self._save(run_checkpoints.Position(epoch, step + 1))
      if stops:
        raise Stopped

  def _save(self, position):
    self._checkpoints.save(position, self._history)

  def _verbosity(self):
    if not self._files.is_chief:
      return 0
    return 1 if sys.stdout.isatty() else 2

  def _metrics(self):
    results = self._model.get_metrics_result()
    return {name: _plain(value) for name, value in results.items()}

  def _rates(self):
    return [_plain(rate) for rate in self._model.gate_open_rates.result()]

  def _schedules(self):
    blocks = pgates.gated_blocks(self._model)
    gates = [block.gate for block in blocks if block.gate is not None]
    values = {"learning_rate": _plain(self._model.optimizer.learning_rate)}
    if gates:
      values["temperature"] = _plain(gates[0].current_temperature)
    return values


def _check_finite(metrics, epoch):
  # A last step that diverges shows in no loss of training.
  for name in ("val_task_loss", "val_rate_loss"):
    if not math.isfinite(metrics[name]):
      raise FloatingPointError(
          f"{name} is {metrics[name]} after epoch {epoch + 1}: training stops. "
          "Look at the learning rate and the validation data."
      )


def evaluate(
    model: pgates.GatedModel,
    batches: tf.data.Dataset,
    *,
    callbacks: keras.callbacks.CallbackList | None = None,
) -> None:
  """Evaluates a network; its metrics then hold the results.

  Args:
    model: a compiled `pgates.GatedModel`.
    batches: finite data set of batches.
    callbacks: of Keras.
  """
  with warnings.catch_warnings():
    # Keras says so wherever it does not know the number of batches before, as
    # where images may have to be skipped.
    warnings.filterwarnings("ignore", "Your input ran out of data")
    model.evaluate(batches, callbacks=callbacks, verbose=0)


def _plain(value):
  # Not `float` alone, which cannot read a variable that replicas mirror.
  return float(np.asarray(value))
