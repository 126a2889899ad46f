"""Tests of pgates/inference/strategy.py."""

import dataclasses

import pytest

from pgates.inference import strategy


@dataclasses.dataclass(frozen=True)
class _Own(strategy.Strategy):
  """Says nothing of itself but how it is read."""

  @classmethod
  def parse(cls, name, argument):
    return cls(name, float(argument) if argument else None)


def test_strategy_that_says_nothing_decides_per_input_without_data():
  own = _Own.parse("own", "")
  assert (own.needs_data, own.is_fixed, own.is_random) == (False,) * 3
  assert own.decides_per_input and not own.can_be_fixed
  assert (own.threshold, own.statistics_rule, own.num_passes) == (None, None, 1)
  model = object()
  assert own.resolve(model, None) == (model, own)
  assert own.resolve(model, None)[0] is model


def test_fixed_strategy_can_be_fixed_and_decides_for_all():
  class Fixed(_Own):
    is_fixed = True

    def resolve(self, model, validation_data):
      return (model, validation_data), self

  fixed = Fixed("fixed")
  assert fixed.can_be_fixed and not fixed.decides_per_input
  assert fixed.fix("model", "data") == ("model", "data")


def test_strategy_that_no_network_does_cannot_be_fixed_or_applied():
  own = _Own("own", 0.5)
  with pytest.raises(ValueError, match="does what own:0.5 does"):
    own.fix(None, None)
  with pytest.raises(NotImplementedError, match="own:0.5"):
    own.apply(None, "masked")


@pytest.mark.parametrize("text", ["own", "own:0.1", "own:1e-07"])
def test_text_reads_as_the_strategy_it_came_from(text):
  own = _Own.parse(*text.partition(":")[::2])
  assert str(own) == text
  assert _Own.parse(*str(own).partition(":")[::2]) == own


@pytest.mark.parametrize("text, value", [("0", 0.0), (".5", 0.5), ("1", 1.0)])
def test_share_is_read(text, value):
  assert strategy.share("prune", text) == value


@pytest.mark.parametrize("text", ["-0.1", "1.1", "nan", "inf", "half", ""])
def test_what_is_no_share_is_refused(text):
  with pytest.raises(ValueError, match=f"0 and 1 .*Received: 'prune:{text}'"):
    strategy.share("prune", text)


def test_share_may_have_a_lower_end():
  assert strategy.share("settled", "0.5", highest=0.5) == 0.5
  with pytest.raises(ValueError, match="between 0 and 0.5 behind 'settled:'"):
    strategy.share("settled", "0.51", highest=0.5)


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many", ""])
def test_what_is_no_whole_number_is_refused(text):
  assert strategy.whole_number("ensemble", "1", lowest=1) == 1
  message = f"whole number from 1 .*Received: 'ensemble:{text}'"
  with pytest.raises(ValueError, match=message):
    strategy.whole_number("ensemble", text, lowest=1)
