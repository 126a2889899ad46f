"""The choice of what becomes of each gate: removed, always open, deciding."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Protocol

import numpy as np

from export.timing import costs as costs_lib

REMOVED, OPEN, DECIDING = "removed", "open", "deciding"
Decisions = tuple[str, ...]


class Measured(Protocol):
  """What a network with some decisions does on validation data."""

  accuracy: float
  open_rates: np.ndarray


@dataclasses.dataclass(frozen=True)
class Row:
  """Why a block is what it is.

  Args:
    name: of the block.
    decision: `removed`, `open` or `deciding`.
    open_rate: on validation data, when it was decided.
    branch: cost of the branch.
    gate: cost of the gate.
    accuracy: on validation data, with this decision and those before.
  """

  name: str
  decision: str
  open_rate: float
  branch: float
  gate: float
  accuracy: float


def choose(
    costs: Sequence[costs_lib.BlockCost],
    start: Decisions,
    measure: Callable[[Decisions], Measured],
    *,
    max_accuracy_drop: float,
) -> tuple[Decisions, list[Row]]:
  """Decides what becomes of each gate.

  A branch is removed wherever that keeps the accuracy. Of the others, a gate
  keeps deciding only if that saves: (1 - open rate) x branch > gate; else it is
  opened, if that keeps the accuracy. The changes that save most are tried
  first; after each that is made, open rates are measured again.

  Args:
    costs: of each block.
    start: of each block, `deciding`, or what it is without a gate.
    measure: decisions -> accuracy (a share) and open rates, on validation data.
    max_accuracy_drop: below that of `start`, a share.

  Returns:
    The decisions, and a row for each block in the order of the blocks.
  """
  decisions = start
  found = measure(decisions)
  lowest = found.accuracy - max_accuracy_drop
  rows = {
      i: _row(costs[i], decisions[i], found, i) for i in range(len(decisions))
  }
  refused = set()
  while True:
    change = _best_change(
        costs, decisions, found, measure, lowest=lowest, refused=refused
    )
    if change is None:
      return decisions, [rows[i] for i in range(len(decisions))]
    index, decisions, after = change
    rows[index] = dataclasses.replace(
        _row(costs[index], decisions[index], found, index),
        accuracy=after.accuracy,
    )
    found = after
    for i, decision in enumerate(decisions):
      if decision == DECIDING:
        rows[i] = _row(costs[i], decision, found, i)


def _best_change(costs, decisions, found, measure, *, lowest, refused):
  """The change that saves most among those that keep the accuracy."""
  for _, index, decision in _changes(costs, decisions, found.open_rates):
    if (index, decision) in refused:
      continue
    changed = (*decisions[:index], decision, *decisions[index + 1 :])
    after = measure(changed)
    # Less than a rounding error of a mean is no loss.
    if after.accuracy >= lowest - 1e-9:
      return index, changed, after
    refused.add((index, decision))
  return None


def _changes(costs, decisions, open_rates):
  """What saves more than to go on deciding: (saved, block, decision)."""
  changes = []
  for i, (cost, decision) in enumerate(zip(costs, decisions, strict=True)):
    if decision != DECIDING:
      continue
    rate = float(open_rates[i])
    changes.append((cost.gate + rate * cost.branch, i, REMOVED))
    gains = (1 - rate) * cost.branch - cost.gate
    if gains <= 0:
      changes.append((-gains, i, OPEN))
  return sorted(changes, key=lambda change: -change[0])


def _row(cost, decision, found, index):
  return Row(
      name=cost.name,
      decision=decision,
      open_rate=float(found.open_rates[index]),
      branch=cost.branch,
      gate=cost.gate,
      accuracy=found.accuracy,
  )
