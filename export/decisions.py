"""What is decided before anything is exported, for each variant."""

from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from export import variants
from export.auto import deciding
import pgates

# Variants of one gating and one format share their decisions.
Key = tuple[str, str]


def decide_all(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    chosen: Iterable[variants.Variant],
    validation_data: tf.data.Dataset,
    options: deciding.Options,
) -> dict[Key, variants.Decided]:
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
      found[gating, format] = variants.decide(
          model, strategy, gating, validation_data
      )
      continue
    print(f"Choosing gates for {format} ...", flush=True)
    choice = deciding.choose(
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
) -> dict[Key, variants.Decided]:
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
      found[key] = variants.decide(
          model, strategy, row["gating"], validation_data
      )
      continue
    smaller, left = deciding.restored(
        model, strategy, validation_data, row["auto"]["decisions"]
    )
    found[key] = _decided(smaller, left, row["auto"])
  return found


def _decided(model, strategy, chosen):
  reference = pgates.with_strategy(model, strategy)
  return variants.Decided(model, strategy, reference, chosen)


def print_choice(chosen: deciding.Chosen) -> None:
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
