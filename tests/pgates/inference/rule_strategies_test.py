"""Tests of pgates/inference/rule_strategies.py."""

import itertools

import pytest

import pgates
from tests.helpers import parameters
from tests.helpers import toys


@pytest.mark.parametrize(
    "rule, execution",
    parameters.slow_but(
        [("map", "routed"), ("expected", "masked"), ("always_open", "routed")],
        itertools.product(toys.RULES, ["masked", "routed"]),
    ),
)
def test_rule_is_a_strategy(rule, execution):
  model = toys.mixed_model()
  derived = pgates.with_strategy(model, rule, execution=execution)
  expected = toys.oracle(model, toys.examples(), rule)
  toys.assert_outputs(derived(toys.examples()), expected)
