"""The strategies that drop blocks for all inputs."""

import dataclasses
from typing import Self

import keras
import tensorflow as tf

from pgates.inference import block_rates
from pgates.inference import rule_strategies
from pgates.inference import strategy


@dataclasses.dataclass(frozen=True)
class Prune(strategy.Strategy):
  """`prune:R`: drops blocks that MAP opens for less than the share R."""

  needs_data = True
  is_fixed = True

  @classmethod
  def parse(cls, name: str, argument: str) -> Self:
    return cls(name, strategy.share(name, argument))

  def resolve(
      self, model: keras.Model, validation_data: tf.data.Dataset | None
  ) -> tuple[keras.Model, strategy.Strategy]:
    rates = block_rates.BlockRates(model, "map", validation_data)
    return block_rates.keep_only(
        model, rates.at_least(self.argument)
    ), rule_strategies.RuleStrategy("always_open")


@dataclasses.dataclass(frozen=True)
class TopK(strategy.Strategy):
  """`top_k:K`: drops all but the K blocks that MAP opens most often."""

  needs_data = True
  is_fixed = True

  @classmethod
  def parse(cls, name: str, argument: str) -> Self:
    return cls(name, strategy.whole_number(name, argument, lowest=0))

  def resolve(
      self, model: keras.Model, validation_data: tf.data.Dataset | None
  ) -> tuple[keras.Model, strategy.Strategy]:
    rates = block_rates.BlockRates(model, "map", validation_data)
    return block_rates.keep_only(
        model, rates.highest(self.argument)
    ), rule_strategies.RuleStrategy("always_open")
