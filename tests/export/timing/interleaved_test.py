"""Tests of `export.timing.interleaved`."""

import contextlib

import pytest

from export.timing import interleaved


class _Clock:
  """Time that passes only where a candidate lets it."""

  def __init__(self):
    self.now = 0.0

  def __call__(self):
    return self.now


def _candidates(clock, calls, durations):
  def run(name):
    calls.append(name)
    clock.now += durations[name]

  return {name: (lambda name=name: run(name)) for name in durations}


def test_candidates_take_turns_and_warm_up_does_not_count():
  clock, calls = _Clock(), []
  candidates = _candidates(clock, calls, {"a": 1.0, "b": 2.0})
  times = interleaved.measure(candidates, repeats=3, warmup=2, clock=clock)
  rounds = [calls[i : i + 2] for i in range(0, len(calls), 2)]
  assert len(rounds) == 5
  # Each once a round, not always in the same order.
  assert {tuple(each) for each in rounds} == {("a", "b"), ("b", "a")}
  assert times == {"a": [1.0] * 3, "b": [2.0] * 3}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([1.0, 1.1, 1.2, 1.3, 9.0], False),  # One slow round tells nothing.
        ([1.0, 1.0, 2.1, 2.1, 2.1], True),
        ([1.0] * 5, False),
    ],
)
def test_times_are_unsteady_where_a_quarter_of_rounds_is_much_slower(
    seconds, expected
):
  times = {"a": [1.0] * 5, "b": seconds}
  found = interleaved.summary(times, "a")
  assert interleaved.is_unsteady(found) == expected


def test_time_to_enter_and_leave_a_candidate_is_not_its_own():
  clock, calls = _Clock(), []
  call = _candidates(clock, calls, {"a": 1.0})["a"]

  class Candidate(contextlib.AbstractContextManager):

    def __enter__(self):
      clock.now += 10.0
      calls.append("enter")
      return call

    def __exit__(self, *error):
      clock.now += 20.0
      calls.append("leave")

  times = interleaved.measure(
      {"a": Candidate()}, repeats=2, warmup=1, clock=clock
  )
  assert times == {"a": [1.0] * 2}
  assert calls == ["enter", "a", "leave"] * 3


def test_ratios_are_within_a_round():
  # The machine is slow in the second round, for both alike.
  times = {"ungated": [1.0, 3.0, 1.0], "dynamic": [0.5, 1.5, 0.6]}
  result = interleaved.summary(times, "ungated")
  assert result["dynamic"]["ratio"] == pytest.approx(0.5)
  assert result["ungated"]["ratio"] == 1
  assert result["dynamic"]["median_ms"] == pytest.approx(600)
  assert result["dynamic"]["minimum_ms"] == pytest.approx(500)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.0, "0 us"),
        (0.0483, "48 us"),
        (0.7125, "712 us"),
        (-1.5, "-1,500 us"),
        (9.9994, "9,999 us"),
        (9.9996, "10.0 ms"),
        (10.0, "10.0 ms"),
        (-12.34, "-12.3 ms"),
        (1220.04, "1,220.0 ms"),
    ],
)
def test_short_times_are_in_microseconds(milliseconds, text):
  assert interleaved.time_text(milliseconds) == text
