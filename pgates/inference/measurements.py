"""What strategies measure on validation data: open rates, and budgets."""

import math

import numpy as np

from pgates.costs import model_macs
from pgates.inference import rules

# Beyond it, float32 hardly tells probabilities from 1.
_BUDGET_LOGIT = 16.0
_BISECTIONS = 15  # To 0.001 in the logit.
_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def measure_gates(model, dataset, *, strategy="map"):
  """Measures how often each block runs.

  Args:
    model: a functional Keras model with the outputs of `gated_outputs`.
    dataset: batched `tf.data.Dataset` of (images, ...).
    strategy: a rule.

  Returns:
    `(open_rates, mean_probabilities)`, float64 arrays [blocks].
  """
  outputs = _predict_gates(rules.with_rule(model, strategy), dataset)
  logits = np.asarray(outputs["gate_logits"], np.float64)
  probabilities = 1 / (1 + np.exp(-logits))
  return np.mean(outputs["gates"], axis=0, dtype=np.float64), np.mean(
      probabilities, axis=0
  )


def budget_threshold(model, budget, dataset):
  """Finds the threshold that spends a share of the dense multiply-adds.

  Decisions change what later gates read, so the executed multiply-adds are
  measured anew at each threshold of a bisection over its logit (they fall, if
  not strictly, as it rises). Of the thresholds tried, the one whose cost is
  nearest to the budget from below is returned; the nearest, where none is
  below.

  Args:
    model: a functional Keras model with the outputs of `gated_outputs`.
    budget: share of the dense multiply-adds, in [0, 1].
    dataset: batched `tf.data.Dataset` of (images, ...).

  Returns:
    A probability.
  """
  low, high = -_BUDGET_LOGIT, _BUDGET_LOGIT
  tried = []
  macs = model_macs.count_macs(model)
  by_threshold = rules.with_threshold_input(model)
  for _ in range(_BISECTIONS):
    logit = (low + high) / 2
    # As float32, what is measured here is what the returned number does.
    threshold = float(np.float32(1 / (1 + math.exp(-logit))))
    given = dataset.map(
        lambda *batch, threshold=threshold: rules.threshold_inputs(
            model, batch[0], threshold
        )
    )
    gates = by_threshold.predict(given, verbose=0)["gates"]
    share = float(np.mean(macs.executed(gates))) / macs.dense
    tried.append((share > budget, abs(share - budget), threshold))
    low, high = (logit, high) if share > budget else (low, logit)
  return min(tried)[2]


def threshold_curve(model, dataset, *, thresholds=_THRESHOLDS):
  """Accuracy and executed multiply-adds, threshold by threshold.

  Args:
    model: a `pgates.GatedModel`.
    dataset: batched `tf.data.Dataset` of (images, labels), labels integers
      [batch] or [batch, 1].
    thresholds: probabilities.

  Returns:
    A list of `{"threshold", "accuracy", "macs"}`, the last per example.
  """
  macs = model_macs.count_macs(model)
  by_threshold = rules.with_threshold_input(model)
  curve = []
  for threshold in thresholds:
    hits, executed, count = 0, 0, 0
    for images, labels in dataset:
      outputs = by_threshold.predict_on_batch(
          rules.threshold_inputs(model, images, threshold)
      )
      chosen = outputs["logits"].argmax(axis=-1)
      hits += np.sum(chosen == labels.numpy().reshape(-1))
      executed += np.sum(macs.executed(outputs["gates"]).numpy())
      count += len(chosen)
    curve.append(
        {
            "threshold": threshold,
            "accuracy": float(hits / count),
            "macs": float(executed / count),
        }
    )
  return curve


def _predict_gates(model, dataset):
  # In a tuple, for several inputs are one, and no labels.
  images = dataset.map(lambda *batch: (batch[0],))
  outputs = model.predict(images, verbose=0)
  return {name: outputs[name] for name in ("gates", "gate_logits")}
