"""Gates that decide the same for (nearly) all inputs need not decide."""

import dataclasses
from typing import Self

import keras
import tensorflow as tf

from pgates import graphs
from pgates.inference import block_rates
from pgates.inference import budgets
from pgates.inference import pruning
from pgates.inference import rule_strategies
from pgates.inference import strategy

_BASES = {
    "map": rule_strategies.RuleStrategy,
    "threshold": rule_strategies.RuleStrategy,
    "budget": budgets.Budget,
}


@dataclasses.dataclass(frozen=True)
class Settled(strategy.Strategy):
  """`settled[:E][:base]`: the base, without the gates that it settles.

  Under the base rule (MAP, or `threshold:T` or `budget:B`), on validation
  data: blocks that run for at most a share E of the examples are dropped,
  those that run for at least 1 - E lose their gate and always run, the others
  keep deciding. E is 0 unless given: then only what never varied is settled.
  """

  argument: float = 0.0
  base: strategy.Strategy = rule_strategies.RuleStrategy("map")

  needs_data = True

  @classmethod
  def parse(cls, name: str, argument: str) -> Self:
    first, _, rest = argument.partition(":")
    if first in _BASES:
      first, rest = "", argument
    share = 0.0
    if first:
      share = strategy.share(name, first, highest=block_rates.MAJORITY)
    if not rest:
      return cls(name, share)
    base, _, of_base = rest.partition(":")
    if base not in _BASES:
      raise ValueError(
          "Expected map, threshold:T or budget:B behind 'settled:E:'. "
          f"Received: '{name}:{argument}'"
      )
    return cls(name, share, _BASES[base].parse(base, of_base))

  @property
  def threshold(self) -> float | None:
    return self.base.threshold

  @property
  def statistics_rule(self) -> str | None:
    return self.base.statistics_rule

  def check(self, model: keras.Model) -> None:
    if not _gated(model):
      raise ValueError(
          f"{self} settles gates, and {model.name} has none: give "
          "'always_open'."
      )

  def resolve(
      self, model: keras.Model, validation_data: tf.data.Dataset | None
  ) -> tuple[keras.Model, strategy.Strategy]:
    self.check(model)
    gated = _gated(model)
    model, base = self.base.resolve(model, validation_data)
    rates = block_rates.BlockRates(model, str(base), validation_data)
    # Of a block that runs for exactly half, E = .5 would do both.
    opened = rates.at_least(max(1 - self.argument, block_rates.MAJORITY))
    dropped = rates.at_most(self.argument) - opened
    settled = pruning.prune(model, dropped & gated, always_open=opened & gated)
    return settled, base

  def __str__(self) -> str:
    share = f":{self.argument!r}" if self.argument else ""
    base = "" if str(self.base) == "map" else f":{self.base}"
    return f"{self.name}{share}{base}"


def _gated(model):
  """Indices of the blocks that have a gate."""
  calls = graphs.gated_calls(model)
  return {i for i, block in enumerate(calls) if block.gate is not None}
