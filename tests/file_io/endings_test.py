"""Tests of `file_io.endings`."""

import signal
import time

import pytest

from file_io import endings

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.mark.usefixtures("heeds_signals")
@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
def test_signal_ends_a_program_in_one_line_after_its_clean_up(number, capsys):
  before = [signal.getsignal(each) for each in endings.STOPPING]
  cleaned = []

  @endings.in_one_line("a.program", "What was there stays.")
  def main():
    try:
      signal.raise_signal(number)
      time.sleep(60)
    finally:
      if number != signal.SIGINT:
        signal.raise_signal(number)  # Who is in a hurry sends it again.
      cleaned.append(True)

  with pytest.raises(SystemExit) as ended:
    main()
  assert ended.value.code == CODES[number]
  message = f"a.program: Ended by {number.name}. What was there stays.\n"
  assert capsys.readouterr().err == message
  assert cleaned
  assert [signal.getsignal(each) for each in endings.STOPPING] == before


def test_signal_that_is_ignored_stays_so():
  """As of a program that `nohup` has begun."""
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with endings.in_one_line("a.program", ""):
      signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
  finally:
    signal.signal(signal.SIGHUP, before)


def test_other_ends_are_left_alone():
  with pytest.raises(SystemExit, match="a reason"):
    with endings.in_one_line("a.program", ""):
      raise SystemExit("a reason")
