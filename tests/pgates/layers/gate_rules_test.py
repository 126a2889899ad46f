"""Tests of pgates/layers/gate_rules.py."""

import pytest

from pgates.layers import gate_rules


def test_parse_rule_reads_every_name():
  for name in gate_rules.NAMES:
    assert gate_rules.parse(name) == gate_rules.Rule(name, None)
  expected = gate_rules.Rule("threshold", 0.3)
  assert gate_rules.parse("threshold:0.3") == expected
  assert gate_rules.parse("threshold:0") == gate_rules.Rule("threshold", 0.0)


@pytest.mark.parametrize(
    "text",
    ["MAP", "", "maps", "map:0.5", "sampled:3", "expected:1", None],
)
def test_parse_rule_refuses_unknown_rules(text):
  with pytest.raises(ValueError, match=f"Received: {text!r}") as error:
    gate_rules.parse(text)
  for name in gate_rules.NAMES:
    assert name in str(error.value)


@pytest.mark.parametrize("argument", ["1.5", "-0.1", "high", "nan", "0.3:0.4"])
def test_parse_rule_refuses_thresholds_that_are_no_probability(argument):
  text = f"threshold:{argument}"
  with pytest.raises(ValueError, match=f"between 0 and 1.*Received: '{text}'"):
    gate_rules.parse(text)
