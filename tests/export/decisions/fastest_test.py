"""Tests of `export.decisions.fastest`."""

import dataclasses

import numpy as np
import pytest

from export.decisions import choice
from export.decisions import fastest
from export.timing import block_costs

DECIDING, OPEN, REMOVED = choice.DECIDING, choice.OPEN, choice.REMOVED


@dataclasses.dataclass
class _Measured:
  accuracy: float
  open_rates: np.ndarray


def _measure(decisions):
  """A network of three blocks that was never trained with all of them open."""
  accuracy = 0.854 - 0.3 * (decisions[2] == REMOVED)
  if decisions[0] == OPEN:
    accuracy = 0.768
  rates = {OPEN: 1.0, REMOVED: 0.0, DECIDING: 0.5}
  return _Measured(accuracy, np.array([rates[d] for d in decisions]))


def _steps():
  blocks = [block_costs.BlockCost(f"block{i}", 100.0, 10.0) for i in range(3)]
  return choice.choose(
      blocks, (DECIDING,) * 3, _measure, max_accuracy_drop=0.001
  )


def _find(seconds):
  """The fastest where a network takes what `seconds(decisions)` says."""
  asked = {}

  def timed(candidates):
    asked.update(candidates)
    reference = seconds(candidates["all_open"])
    return {n: seconds(d) / reference for n, d in candidates.items()}

  found = fastest.find(_steps(), _measure, timed, max_accuracy_drop=0.001)
  return found, asked


def _sum(decisions):
  return sum({REMOVED: 0, OPEN: 100, DECIDING: 60}[d] for d in decisions)


def test_the_choice_is_exported_where_it_is_the_fastest():
  found, _ = _find(lambda decisions: 1 + _sum(decisions))
  assert found.step.decisions == (REMOVED, REMOVED, DECIDING)
  assert found.outcome == "It takes 0.20 of the time of all blocks open."


def test_network_that_lost_its_accuracy_is_never_exported():
  """However fast it is beside those that keep it."""
  found, asked = _find(
      lambda decisions: 100 if decisions == (OPEN,) * 3 else 1000
  )
  assert asked["all_open"] == (OPEN,) * 3
  assert _measure(found.step.decisions).accuracy == 0.854
  assert "takes 10.00 of the time of all blocks open" in found.outcome
  assert "right for 76.80 % of the validation images only" in found.outcome
  assert "this for 85.40 %" in found.outcome
  assert {row.accuracy for row in found.step.rows} == {0.854}


def test_step_before_the_last_is_kept_where_it_is_faster():
  """Of blocks that together take less than the sum says."""
  earlier = (REMOVED, DECIDING, DECIDING)
  found, asked = _find(lambda decisions: 10 if decisions == earlier else 100)
  assert earlier in asked.values()
  assert found.step.decisions == earlier
  assert [row.decision for row in found.step.rows] == [*earlier]
  assert found.outcome == "It takes 0.10 of the time of all blocks open."


def test_gates_are_opened_where_that_is_faster_and_it_is_said_why():
  found, _ = _find(lambda decisions: 50 if DECIDING in decisions else 40)
  assert found.step.decisions == (REMOVED, REMOVED, OPEN)
  assert [row.decision for row in found.step.rows] == [REMOVED, REMOVED, OPEN]
  assert found.outcome.endswith(
      "No gate decides per input: of 3 blocks, 2 removed, the accuracy holding "
      "without; 1 opened, for deciding takes longer than it saves."
  )


def test_all_open_is_exported_where_it_is_accurate_and_the_fastest():
  found = fastest.find(
      _steps(),
      lambda decisions: _Measured(0.854, np.ones(3)),
      lambda names: {n: 1.0 if n == "all_open" else 1.1 for n in names},
      max_accuracy_drop=0.0,
  )
  assert found.step.decisions == (OPEN,) * 3
  assert "all blocks open, without gates: that is exported" in found.outcome


@pytest.mark.parametrize("drop, allowed", [(0.085, False), (0.087, True)])
def test_drop_of_accuracy_is_against_the_first_step(drop, allowed):
  found = fastest.find(
      _steps(),
      _measure,
      lambda names: {n: 1.0 if n == "all_open" else 1.1 for n in names},
      max_accuracy_drop=drop,
  )
  assert (found.step.decisions == (OPEN,) * 3) == allowed
