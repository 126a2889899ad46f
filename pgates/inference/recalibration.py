"""Re-estimation of batch-norm statistics under an inference strategy."""

from collections.abc import Iterator
import contextlib

import keras
import numpy as np
import tensorflow as tf

from pgates.inference import strategies
from pgates.inference import strategy as strategy_lib
from pgates.layers import gate_rules


def reestimate_batch_norm(
    model: keras.Model,
    dataset: tf.data.Dataset,
    num_batches: int,
    *,
    strategy: str | strategy_lib.Strategy = "map",
) -> None:
  """Replaces batch-norm statistics by their average over training batches.

  The statistics move when the policy of the gates changes. They are reset and
  averaged cumulatively, each batch with equal weight; no trained weight
  changes. Execution is masked, as in training: examples whose gate is closed
  count in the statistics of the branch they bypass. The gates' own batch norms
  are re-estimated too.

  Args:
    model: a functional Keras model of `GatedResidual` blocks; its statistics
      change in place, and with them those of all models that share its layers.
    dataset: batched `tf.data.Dataset` of training (images, ...).
    num_batches: batches to read, positive.
    strategy: the rule to re-estimate under: `map`, `sampled`, ...

  Raises:
    ValueError: if the strategy is not a rule, or the data set holds fewer
      batches.
  """
  if num_batches < 1:
    raise ValueError(f"`num_batches` must be positive. Received: {num_batches}")
  gate_rules.parse(strategy)  # Ensembles would keep the last pass's.
  decided = strategies.with_strategy(model, strategy)
  with _statistics_of_one_batch(model) as statistics:
    averages, done = _averages(decided, dataset.take(num_batches), statistics)
  if done < num_batches:
    raise ValueError(
        f"The data set ended after {done} batches; {num_batches} were asked "
        "for. The statistics are as before."
    )
  for variable, average in zip(statistics, averages, strict=True):
    variable.assign(average)


@contextlib.contextmanager
def _statistics_of_one_batch(model) -> Iterator[list[keras.Variable]]:
  """Lets batch norms hold the last batch's statistics alone, for a while."""
  layers = _batch_norms(model)
  statistics = [v for n in layers for v in (n.moving_mean, n.moving_variance)]
  before = [np.asarray(variable) for variable in statistics]
  momenta = [layer.momentum for layer in layers]
  try:
    for layer in layers:
      layer.momentum = 0.0
    yield statistics
  finally:
    for layer, momentum in zip(layers, momenta, strict=True):
      layer.momentum = momentum
    for variable, value in zip(statistics, before, strict=True):
      variable.assign(value)


def _batch_norms(model):
  descendants = tf.train.TrackableView(model).descendants()
  return [
      item
      for item in descendants
      if isinstance(item, keras.layers.BatchNormalization)
  ]


def _averages(model, dataset, statistics):
  """Averages over batches of what each leaves, and how many there were."""

  @tf.function(reduce_retracing=True)
  def forward(images):
    model(images, training=True)

  averages = [np.zeros(variable.shape, np.float64) for variable in statistics]
  done = 0
  for images, *_ in dataset:
    forward(images)
    done += 1
    for average, variable in zip(averages, statistics, strict=True):
      average += (np.asarray(variable) - average) / done
  return averages, done
