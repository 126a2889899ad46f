"""Tests of `export.decisions.choice`."""

import dataclasses
import itertools

import numpy as np
import pytest

from export.decisions import choice
from export.timing import block_costs

DECIDING, OPEN, REMOVED = choice.DECIDING, choice.OPEN, choice.REMOVED


@dataclasses.dataclass
class _Measured:
  accuracy: float
  open_rates: np.ndarray


def _measure(rates, losses, base=0.9):
  """A network that loses so much accuracy by each branch that is removed."""
  asked = []

  def measure(decisions):
    asked.append(decisions)
    lost = sum(
        loss
        for loss, decision in zip(losses, decisions, strict=True)
        if decision == REMOVED
    )
    now = {OPEN: 1.0, REMOVED: 0.0}
    return _Measured(
        base - lost,
        np.array(
            [now.get(d, r) for d, r in zip(decisions, rates, strict=True)]
        ),
    )

  measure.asked = asked
  return measure


def _choose(branches, gates, rates, losses, *, drop=0.001, start=None):
  blocks = [
      block_costs.BlockCost(f"block{i}", *pair)
      for i, pair in enumerate(zip(branches, gates, strict=True))
  ]
  *_, last = choice.choose(
      blocks,
      start or (DECIDING,) * len(blocks),
      _measure(rates, losses),
      max_accuracy_drop=drop,
  )
  return last.decisions, last.rows


@pytest.mark.parametrize(
    "rate, gate, expected",
    [
        # Of a branch of 100: what is saved against what is paid.
        (0.5, 49, DECIDING),
        (0.5, 51, OPEN),
        (0.9, 9, DECIDING),
        (0.9, 11, OPEN),
        (1.0, 1, OPEN),
    ],
)
def test_gate_decides_only_where_that_saves(rate, gate, expected):
  # Without the branch, the network would lose accuracy.
  decisions, (row,) = _choose([100], [gate], [rate], [0.5])
  assert decisions == (expected,)
  assert row == choice.Row("block0", expected, rate, 100, gate, 0.9)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_branch_that_earns_no_accuracy_is_removed(rate):
  decisions, (row,) = _choose([100], [10], [rate], [0.0])
  assert decisions == (REMOVED,)
  assert row.open_rate == rate


def test_drop_of_accuracy_is_that_of_all_changes_together():
  losses = [0.0006, 0.0006, 0.0003]
  decisions, rows = _choose(
      [100, 200, 100], [10, 10, 10], [0.5, 0.5, 0.5], losses, drop=0.001
  )
  # The second saves most; then there is no room for the first.
  assert decisions == (DECIDING, REMOVED, REMOVED)
  assert [row.name for row in rows] == ["block0", "block1", "block2"]
  assert rows[1].accuracy == pytest.approx(0.9 - 0.0006)
  assert rows[2].accuracy == pytest.approx(0.9 - 0.0009)


def test_steps_go_from_the_start_to_the_choice_one_change_at_a_time():
  blocks = [
      block_costs.BlockCost(f"block{i}", 100.0 + i, 10.0) for i in range(3)
  ]
  measure = _measure([0.2, 0.5, 1.0], [0.0, 0.5, 0.5])
  steps = choice.choose(blocks, (DECIDING,) * 3, measure, max_accuracy_drop=0.0)
  assert [step.decisions for step in steps] == [
      (DECIDING, DECIDING, DECIDING),
      (REMOVED, DECIDING, DECIDING),
      (REMOVED, DECIDING, OPEN),
  ]
  for step in steps:
    assert tuple(row.decision for row in step.rows) == step.decisions
  # What is decided later does not change what was said before.
  assert steps[1].rows[0] == steps[2].rows[0]


def test_opened_has_no_deciding_gate_and_its_own_accuracy():
  rows = tuple(
      choice.Row(f"block{i}", decision, 0.5, 100.0, 10.0, 0.9)
      for i, decision in enumerate([REMOVED, DECIDING, OPEN])
  )
  step = choice.Step((REMOVED, DECIDING, OPEN), rows)
  opened = choice.opened(step, lambda decisions: _Measured(0.6, np.ones(3)))
  assert opened.decisions == (REMOVED, OPEN, OPEN)
  assert [row.decision for row in opened.rows] == [REMOVED, OPEN, OPEN]
  assert [row.accuracy for row in opened.rows] == [0.9, 0.6, 0.9]


@pytest.mark.parametrize("start", [OPEN, REMOVED])
def test_block_without_a_gate_stays_as_it_is(start):
  decisions, rows = _choose(
      [0, 100], [0, 10], [1.0, 0.5], [0.0, 0.5], start=(start, DECIDING)
  )
  assert decisions == (start, DECIDING)
  assert rows[0].decision == start


def test_nothing_is_better_than_what_is_chosen():
  """Against all decisions, where removing is free or forbidden."""
  rng = np.random.default_rng(0)
  for _ in range(20):
    branches, gates = rng.uniform(10, 100, 4), rng.uniform(1, 60, 4)
    rates, losses = rng.uniform(size=4), rng.choice([0.0, 0.5], 4)

    def time(decisions, branches=branches, gates=gates, rates=rates):
      return sum(
          {REMOVED: 0.0, OPEN: b, DECIDING: g + r * b}[decision]
          for decision, b, g, r in zip(
              decisions, branches, gates, rates, strict=True
          )
      )

    measure = _measure(rates, losses)
    best = min(
        time(decisions)
        for decisions in itertools.product([REMOVED, OPEN, DECIDING], repeat=4)
        if measure(decisions).accuracy >= 0.899
    )
    decisions, _ = _choose(branches, gates, rates, losses)
    assert time(decisions) == pytest.approx(best)
