"""Tests of `benchmarks.environment`."""

from benchmarks import environment


def test_environment_names_command_and_versions(monkeypatch):
  program = environment.pathlib.Path(environment.__file__)
  arguments = [str(program.with_name("latency.py")), "--repeats=3"]
  monkeypatch.setattr(environment.sys, "argv", arguments)
  found = environment.describe(2)
  assert found["command"] == "python -m benchmarks.latency --repeats=3"
  assert found["threads"] == 2
  assert {"tensorflow", "keras", "cpu", "commit"} <= set(found)
