"""Tests of `trainers.children`."""

import os
import subprocess
import threading
import time

import pytest

from trainers import children


def test_output_goes_to_the_log(tmp_path):
  path = tmp_path / "log.txt"
  with path.open("w") as log:
    children.Children().call("timeit", ["-n1", "-r1", "print(5)"], log=log)
  assert path.read_text().startswith("5\n")


def test_failure_is_an_error_with_its_command():
  with pytest.raises(subprocess.CalledProcessError) as error:
    children.Children().call("no_such_module", ["--a"])
  assert error.value.cmd[1:] == ["-m", "no_such_module", "--a"]


def test_variables_are_those_that_are_given(tmp_path):
  path = tmp_path / "log.txt"
  statement = "import os; print(os.environ['OWN'])"
  with path.open("w") as log:
    children.Children().call(
        "timeit", ["-n1", "-r1", statement], log=log, env={"OWN": "here"}
    )
  assert path.read_text().startswith("here\n")


def test_stop_ends_what_runs_and_starts_nothing_else(tmp_path):
  processes = children.Children()
  started = tmp_path / "started"
  statement = (
      f"open({str(started)!r}, 'w').close(); import time; time.sleep(60)"
  )
  stopped = []

  def call():
    with pytest.raises(children.Stopped):
      processes.call("timeit", ["-n1", "-r1", statement])
    stopped.append(True)

  thread = threading.Thread(target=call)
  thread.start()
  while not started.exists():
    time.sleep(0.01)
  processes.request_stop()
  thread.join(30)
  assert stopped
  with pytest.raises(children.Stopped):
    processes.call("timeit", ["-n1", "-r1", "pass"])


def test_jobs_share_the_cores(monkeypatch):
  monkeypatch.setattr("os.sched_getaffinity", lambda _: range(7))
  assert children.environment(1) is None
  found = children.environment(2)
  assert found["TF_NUM_INTRAOP_THREADS"] == "3"
  assert found["TF_NUM_INTEROP_THREADS"] == "3"
  assert found["PATH"] == os.environ["PATH"]
  assert children.environment(9)["TF_NUM_INTRAOP_THREADS"] == "1"
