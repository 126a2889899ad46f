"""The choice of what becomes of each gate: removed, always open, deciding."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Protocol

import numpy as np

from export.timing import block_costs

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


@dataclasses.dataclass(frozen=True)
class Step:
  """What has been decided after some changes.

  Args:
    decisions: of each block.
    rows: why, in the order of the blocks.
  """

  decisions: Decisions
  rows: tuple[Row, ...]


def choose(
    costs: Sequence[block_costs.BlockCost],
    start: Decisions,
    measure: Callable[[Decisions], Measured],
    *,
    max_accuracy_drop: float,
) -> list[Step]:
  """Decides what becomes of each gate, one change after the other.

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
    The steps from `start` to the choice, each of which keeps the accuracy.
  """
  found = measure(start)
  lowest = lowest_accuracy(found, max_accuracy_drop)
  steps = [_step(costs, start, found, {})]
  refused = set()
  while True:
    decisions = steps[-1].decisions
    change = _best_change(
        costs, decisions, found, measure, lowest=lowest, refused=refused
    )
    if change is None:
      return steps
    index, changed, after = change
    known = dict(enumerate(steps[-1].rows))
    known[index] = dataclasses.replace(
        _row(costs[index], changed[index], found, index),
        accuracy=after.accuracy,
    )
    found = after
    steps.append(_step(costs, changed, found, known))


def lowest_accuracy(measured: Measured, max_accuracy_drop: float) -> float:
  """What a network must reach that may lose so much, both shares."""
  # Less than a rounding error of a mean is no loss.
  return measured.accuracy - max_accuracy_drop - 1e-9


def opened(step: Step, measure: Callable[[Decisions], Measured]) -> Step:
  """A step whose deciding gates are all opened."""
  decisions = tuple(
      OPEN if decision == DECIDING else decision for decision in step.decisions
  )
  accuracy = measure(decisions).accuracy
  rows = (
      row
      if row.decision == decision
      else dataclasses.replace(row, decision=decision, accuracy=accuracy)
      for row, decision in zip(step.rows, decisions, strict=True)
  )
  return Step(decisions, tuple(rows))


def _step(costs, decisions, found, known):
  """A step whose deciding gates are described as they are now."""
  return Step(
      decisions,
      tuple(
          _row(costs[i], decision, found, i)
          if decision == DECIDING or i not in known
          else known[i]
          for i, decision in enumerate(decisions)
      ),
  )


def _best_change(costs, decisions, found, measure, *, lowest, refused):
  """The change that saves most among those that keep the accuracy."""
  for _, index, decision in _changes(costs, decisions, found.open_rates):
    if (index, decision) in refused:
      continue
    changed = (*decisions[:index], decision, *decisions[index + 1 :])
    after = measure(changed)
    if after.accuracy >= lowest:
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
