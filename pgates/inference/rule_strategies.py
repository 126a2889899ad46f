"""The strategies that are a rule of the gates, for each input."""

import dataclasses
from typing import Self

import keras
import tensorflow as tf

from pgates.inference import block_rates
from pgates.inference import ruled_models
from pgates.inference import strategy
from pgates.layers import gate_rules


@dataclasses.dataclass(frozen=True)
class RuleStrategy(strategy.Strategy):
  """`map`, `threshold:T`, `sampled`, `always_open` or `expected`."""

  @classmethod
  def parse(cls, name: str, argument: str) -> Self:
    text = f"{name}:{argument}" if argument else name
    rule = gate_rules.parse(text)
    if rule.name == "threshold" and rule.threshold is None:
      raise ValueError("Give the threshold, as in 'threshold:0.3'.")
    return cls(rule.name, rule.argument)

  @property
  def _rule(self):
    return gate_rules.Rule(self.name, self.argument)

  @property
  def is_random(self) -> bool:
    return self._rule.is_random

  @property
  def threshold(self) -> float | None:
    return self._rule.threshold

  @property
  def decides_per_input(self) -> bool:
    return not self._rule.runs_all

  @property
  def statistics_rule(self) -> str:
    return str(self)

  @property
  def can_be_fixed(self) -> bool:
    # No network without gates draws, or scales by their probabilities.
    return not self.is_random and not self._rule.scales

  def fix(
      self, model: keras.Model, validation_data: tf.data.Dataset
  ) -> keras.Model:
    if not self.can_be_fixed:
      return super().fix(model, validation_data)
    rates = block_rates.BlockRates(model, self._rule, validation_data)
    return block_rates.keep_only(model, rates.at_least(block_rates.MAJORITY))

  def apply(self, model: keras.Model, execution: str) -> keras.Model:
    return ruled_models.with_rule(model, self._rule, execution=execution)
