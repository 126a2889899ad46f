"""Tests of pgates/inference/rule_strategies.py."""

import pytest

import pgates
from tests.helpers import toys


@pytest.mark.parametrize("execution", ["masked", "routed"])
@pytest.mark.parametrize("rule", toys.RULES)
def test_rule_is_a_strategy(rule, execution):
  model = toys.mixed_model()
  derived = pgates.with_strategy(model, rule, execution=execution)
  expected = toys.oracle(model, toys.examples(), rule)
  toys.assert_outputs(derived(toys.examples()), expected)
