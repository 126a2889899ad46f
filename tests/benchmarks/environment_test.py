"""Tests of `benchmarks.environment`."""

import pytest

from benchmarks import environment


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
  assert environment.time_text(milliseconds) == text


def test_environment_names_command_and_versions(monkeypatch):
  program = environment.pathlib.Path(environment.__file__)
  arguments = [str(program.with_name("latency.py")), "--repeats=3"]
  monkeypatch.setattr(environment.sys, "argv", arguments)
  found = environment.describe(2)
  assert found["command"] == "python -m benchmarks.latency --repeats=3"
  assert found["threads"] == 2
  assert {"tensorflow", "keras", "cpu", "commit"} <= set(found)
