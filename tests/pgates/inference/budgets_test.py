"""Tests of `pgates.inference.budgets`."""

import itertools

import numpy as np
import pytest

from pgates.inference import budgets
from pgates.inference import ruled_models
from tests.helpers import parameters
from tests.helpers import toys


def shares(model, x, threshold):
  """The mean share of the dense multiply-adds at a threshold."""
  gates = toys.oracle(model, x, f"threshold:{threshold!r}")["gates"]
  branches = np.array([10 * 3**i for i in range(gates.shape[1])])
  always = model.macs.always
  return np.mean(always + gates @ branches) / (always + branches.sum())


def best_share(model, x, budget):
  """The largest share within a budget, of all thresholds between logits."""
  logits = np.unique(toys.oracle(model, x, "always_open")["gate_logits"])
  logits = np.concatenate([logits[:1] - 1, logits, logits[-1:] + 1])
  midpoints = toys.sigmoid((logits[1:] + logits[:-1]) / 2)
  found = [shares(model, x, float(threshold)) for threshold in midpoints]
  return max(share for share in found if share <= budget)


def achieved_share(model, x, threshold):
  """The same, of the model that decides by the threshold."""
  gates = ruled_models.with_rule(model, f"threshold:{threshold!r}")(x)["gates"]
  return np.mean(model.macs.executed(gates)) / model.macs.dense


LOGITS = [
    (-1.0, 0.3, 2.0, 0.25),
    # Collapsed gates, of probabilities of nearly 1 or 0.
    (11.0, 9.5, 10.0, 12.0),
    (-12.0, 10.0, -11.0, -9.0),
]


@pytest.mark.parametrize(
    "logits, budget",
    parameters.slow_but(
        [*zip(LOGITS, [0.35, 0.75, 1.0], strict=True)],
        itertools.product(LOGITS, [0.35, 0.75, 1.0]),
    ),
)
def test_budget_spends_what_the_best_threshold_can(logits, budget):
  model = toys.make_model([toys.independent(v) for v in logits])
  threshold = budgets.budget_threshold(model, budget, toys.batches())
  share = achieved_share(model, toys.examples(), threshold)
  assert share <= budget
  np.testing.assert_allclose(share, best_share(model, toys.examples(), budget))


@pytest.mark.parametrize("budget", parameters.slow_after(1, [0.4, 0.8]))
def test_budget_holds_where_gates_read_what_others_decide(budget):
  model = toys.make_model([toys.dependent(i) for i in range(4)])
  threshold = budgets.budget_threshold(model, budget, toys.batches(32, 32))
  share = achieved_share(model, toys.examples(32), threshold)
  assert share <= budget
  # Shares do not fall strictly, so a bisection may miss the very best, by a
  # block or two of one example.
  assert share >= best_share(model, toys.examples(32), budget) - 2 / 32


@pytest.mark.parametrize("budget", [0, 1])
def test_budget_of_nothing_or_everything_moves_all_gates(budget):
  model = toys.make_model([toys.independent(v) for v in (9, 0, -9)])
  threshold = budgets.budget_threshold(model, budget, toys.batches())
  derived = ruled_models.with_rule(model, f"threshold:{threshold!r}")
  gates = derived(toys.examples())["gates"]
  np.testing.assert_array_equal(gates, np.full((9, 3), budget))


def test_budget_of_a_nested_model_is_refused():
  _, nested = toys.nested_model([toys.independent(0), toys.independent(0)])
  with pytest.raises(ValueError, match="nested"):
    budgets.budget_threshold(nested, 0.5, toys.batches())
