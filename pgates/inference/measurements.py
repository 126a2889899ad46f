"""What strategies measure on validation data: rates of open gates, a curve."""

from collections.abc import Sequence

import keras
import numpy as np
from scipy import special
import tensorflow as tf

from pgates.costs import model_macs
from pgates.inference import collection
from pgates.inference import ruled_models
from pgates.layers import gate_rules

_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def measure_gates(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    strategy: str | gate_rules.Rule = "map",
) -> tuple[np.ndarray, np.ndarray]:
  """Measures how often each block runs.

  Args:
    model: a functional Keras model with the outputs of `gated_outputs`.
    dataset: batched `tf.data.Dataset` of (images, ...).
    strategy: a rule.

  Returns:
    `(open_rates, mean_probabilities)`, float64 arrays [blocks].

  Raises:
    ValueError: if there is no example, or the gates of one are NaN.
  """

  def gates_and_logits(outputs, labels):
    del labels
    return {name: outputs[name] for name in ("gates", "gate_logits")}

  found = collection.collect(
      ruled_models.with_rule(model, strategy), dataset, gates_and_logits
  )
  logits = np.asarray(found["gate_logits"], np.float64)
  check_finite(logits)
  rates = np.mean(found["gates"], axis=0, dtype=np.float64)
  return rates, np.mean(special.expit(logits), axis=0)


def check_finite(logits: np.ndarray) -> None:
  """Raises a ValueError if the gates of an example are NaN.

  Args:
    logits: [examples, blocks], or a mean of them.
  """
  bad = np.isnan(logits).any(axis=-1)
  if np.any(bad):
    raise ValueError(
        f"The gates of {np.sum(bad)} of {np.size(bad)} validation examples are "
        "NaN: their images, or the network's weights, are not finite. Look at "
        "the data, and at the last losses of training."
    )


def threshold_curve(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    thresholds: Sequence[float] = _THRESHOLDS,
) -> list[dict[str, float]]:
  """Accuracy and executed multiply-adds, threshold by threshold.

  The data set is read once, whatever the number of thresholds.

  Args:
    model: a `pgates.GatedModel`.
    dataset: batched `tf.data.Dataset` of (images, labels), labels integers
      [batch] or [batch, 1].
    thresholds: probabilities.

  Returns:
    A list of `{"threshold", "accuracy", "macs"}`, the last per example.

  Raises:
    ValueError: if there is no example.
  """
  macs = model_macs.count_macs(model)
  collector = collection.Collector(ruled_models.with_threshold_input(model))
  inputs = [_at_threshold(model, threshold) for threshold in thresholds]

  def per_example(outputs, labels):
    return {
        "accuracy": outputs["logits"].argmax(axis=-1) == labels.reshape(-1),
        "macs": macs.executed(outputs["gates"]).numpy(),
    }

  found = collector.collect_each(dataset, per_example, inputs=inputs)
  means = [
      {name: float(np.mean(values)) for name, values in each.items()}
      for each in found
  ]
  return [
      {"threshold": threshold, **mean}
      for threshold, mean in zip(thresholds, means, strict=True)
  ]


def _at_threshold(model, threshold):
  return lambda images: ruled_models.threshold_inputs(model, images, threshold)
