"""Re-estimation of batch-norm statistics under an inference strategy."""

import keras
import numpy as np
import tensorflow as tf

from pgates.inference import strategies
from pgates.layers import gate_rules


def _batch_norms(model):
  descendants = tf.train.TrackableView(model).descendants()
  return [
      item
      for item in descendants
      if isinstance(item, keras.layers.BatchNormalization)
  ]


def reestimate_batch_norm(model, dataset, num_batches, *, strategy="map"):
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
  layers = _batch_norms(model)
  running = strategies.with_strategy(model, strategy)
  statistics = [v for n in layers for v in (n.moving_mean, n.moving_variance)]
  before = [np.asarray(variable) for variable in statistics]
  momenta = [layer.momentum for layer in layers]

  @tf.function(reduce_retracing=True)
  def forward(images):
    running(images, training=True)

  done = 0
  averages = [np.zeros(value.shape, np.float64) for value in before]
  try:
    for layer in layers:
      layer.momentum = 0.0  # The statistics become those of the batch.
    for batch in dataset.take(num_batches):
      forward(batch[0])
      for average, variable in zip(averages, statistics, strict=True):
        average += (np.asarray(variable) - average) / (done + 1)
      done += 1
  finally:
    complete = done == num_batches
    for layer, momentum in zip(layers, momenta, strict=True):
      layer.momentum = momentum
    values = averages if complete else before
    for variable, value in zip(statistics, values, strict=True):
      variable.assign(value)
  if not complete:
    raise ValueError(
        f"The data set ended after {done} batches; {num_batches} were asked "
        "for. The statistics are as before."
    )
