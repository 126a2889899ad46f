"""What is decided before anything is exported, for each variant."""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
from typing import Any

import tensorflow as tf

from export import variants
from export.decisions import auto_gating
import pgates

# Variants of one gating and one format share their decisions.
Key = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Decided:
  """A network with its gates decided as far as they can be beforehand.

  Args:
    model: the network to export; with fixed gating, the smaller one.
    strategy: what is left to do for each input.
    reference: a Keras model of the same decisions.
    chosen: with `auto`, how it was chosen, for JSON; else empty.
  """

  model: pgates.GatedModel
  strategy: pgates.Strategy
  reference: pgates.GatedModel
  chosen: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def threshold(self) -> float | None:
    """The threshold of the gates, or None where there is none."""
    return self.strategy.threshold


def decide(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    gating: str,
    validation_data: tf.data.Dataset,
) -> Decided:
  """Decides what can be decided before the first input is seen.

  With fixed gating, `map` and `threshold:T` open a block for all inputs where
  they open it for half of the validation data or more; for data-independent
  gates that is the rule itself.

  Args:
    model: a `pgates.GatedModel`.
    strategy: one that goes with the gating.
    gating: `fixed` or `dynamic`.
    validation_data: batched `tf.data.Dataset` of (images, labels).

  Returns:
    A `Decided`.
  """
  if gating == "fixed":
    fixed = strategy.fix(model, validation_data)
    return Decided(fixed, pgates.parse_strategy("always_open"), fixed)
  resolved, left = strategy.resolve(model, validation_data)
  return Decided(resolved, left, pgates.with_strategy(resolved, left))


def decide_all(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    chosen: Iterable[variants.Variant],
    validation_data: tf.data.Dataset,
    options: auto_gating.Options,
) -> dict[Key, Decided]:
  """Decides for all variants; prints why, where gates are chosen.

  Args:
    model: the network.
    strategy: of the gates.
    chosen: the variants.
    validation_data: batches of (images, labels).
    options: of `auto`.

  Returns:
    A `Decided` by gating and format.
  """
  found = {}
  for gating, format in dict.fromkeys((v.gating, v.format) for v in chosen):
    if gating != "auto":
      found[gating, format] = decide(model, strategy, gating, validation_data)
      continue
    print(f"Choosing gates for {format} ...", flush=True)
    choice = auto_gating.choose(
        model, strategy, validation_data, format=format, options=options
    )
    print_choice(choice)
    found[gating, format] = _decided(
        choice.model, choice.strategy, choice.description()
    )
  return found


def restore_all(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    rows: Iterable[Mapping[str, Any]],
    validation_data: tf.data.Dataset,
) -> dict[Key, Decided]:
  """The decisions of an existing export; times are not measured again.

  Args:
    model: the network.
    strategy: of the gates.
    rows: of `export.json`.
    validation_data: batches of (images, labels).

  Returns:
    A `Decided` by gating and format.
  """
  found = {}
  for row in rows:
    key = row["gating"], row["format"]
    if key in found:
      continue
    if row["gating"] != "auto":
      found[key] = decide(model, strategy, row["gating"], validation_data)
      continue
    smaller, left = auto_gating.restored(
        model, strategy, validation_data, row["auto"]["decisions"]
    )
    found[key] = _decided(smaller, left, row["auto"])
  return found


def _decided(model, strategy, chosen):
  reference = pgates.with_strategy(model, strategy)
  return Decided(model, strategy, reference, chosen)


def print_choice(chosen: auto_gating.Chosen) -> None:
  """Prints of each block what becomes of it, and why."""
  unit = chosen.costs.unit
  print(
      f"{'block':<20}{'open rate':>10}{'branch, ' + unit:>14}"
      f"{'gate, ' + unit:>12}  {'decision':<10}{'accuracy after':>15}"
  )
  for row in chosen.rows:
    print(
        f"{row.name:<20}{row.open_rate:>10.3f}{row.branch:>14,.0f}"
        f"{row.gate:>12,.0f}  {row.decision:<10}{100 * row.accuracy:>14.2f}%"
    )
  print(chosen.outcome, flush=True)
