"""The threshold at which a network spends what it may."""

import dataclasses
from typing import Self

import keras
import numpy as np
from scipy import special
import tensorflow as tf

from pgates.costs import model_macs
from pgates.inference import collection
from pgates.inference import measurements
from pgates.inference import rule_strategies
from pgates.inference import ruled_models
from pgates.inference import strategy

# Beyond it, float32 hardly tells probabilities from 1.
_BUDGET_LOGIT = 16.0
_BISECTIONS = 15  # To 0.001 in the logit.


@dataclasses.dataclass(frozen=True)
class Budget(strategy.Strategy):
  """`budget:B`: the threshold that spends the share B of the multiply-adds."""

  needs_data = True

  @classmethod
  def parse(cls, name: str, argument: str) -> Self:
    return cls(name, strategy.share(name, argument))

  @property
  def statistics_rule(self) -> str:
    return "map"

  def resolve(
      self, model: keras.Model, validation_data: tf.data.Dataset | None
  ) -> tuple[keras.Model, strategy.Strategy]:
    threshold = budget_threshold(model, self.argument, validation_data)
    return model, rule_strategies.RuleStrategy("threshold", threshold)


def budget_threshold(
    model: keras.Model, budget: float, dataset: tf.data.Dataset
) -> float:
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

  Raises:
    ValueError: if there is no example, or the gates of one are NaN.
  """
  low, high = -_BUDGET_LOGIT, _BUDGET_LOGIT
  tried = []
  share_at = _share_at(model, dataset)
  for _ in range(_BISECTIONS):
    logit = (low + high) / 2
    # As float32, what is measured here is what the returned number does.
    threshold = float(np.float32(special.expit(logit)))
    share = share_at(threshold)
    tried.append((share > budget, abs(share - budget), threshold))
    low, high = (logit, high) if share > budget else (low, logit)
  return min(tried)[2]


def _share_at(model, dataset):
  """A function from a threshold to the executed share of the dense MACs."""
  macs = model_macs.count_macs(model)
  collector = collection.Collector(ruled_models.with_threshold_input(model))

  def per_example(outputs, labels):
    del labels
    measurements.check_finite(outputs["gate_logits"])
    return {"macs": macs.executed(outputs["gates"]).numpy()}

  def share_at(threshold):
    found = collector.collect(
        dataset,
        per_example,
        inputs=lambda images: ruled_models.threshold_inputs(
            model, images, threshold
        ),
    )
    return float(np.mean(found["macs"])) / macs.dense

  return share_at
