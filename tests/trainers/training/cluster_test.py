"""Tests of `trainers.training.cluster`."""

import time

import pytest
import tensorflow as tf

from trainers.training import cluster
from trainers.training import distribution

WORKERS = ["a:1", "b:2", "c:3"]


def test_whom_it_waits_for_is_said_again_and_again(monkeypatch, capsys):
  monkeypatch.setattr(cluster, "_MESSAGE_SECONDS", 0.05)
  with cluster.waiting(WORKERS, 1, timeout=30):
    time.sleep(0.5)
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) >= 2 and len(set(lines)) == 1
  assert lines[0] == (
      "Worker 1 of 3, b:2, waits for a:1, c:3: for 30 seconds "
      "(--cluster_timeout)."
  )
  time.sleep(0.2)
  assert not capsys.readouterr().err


def test_workers_that_never_come_are_named(capsys):
  with pytest.raises(
      cluster.WorkerLost, match="Not all of a:1, b:2, c:3.*30 s"
  ):
    with cluster.waiting(WORKERS, 0, timeout=30):
      raise tf.errors.DeadlineExceededError(None, None, "late")
  assert "Worker 0 of 3" in capsys.readouterr().err


class _Several(tf.distribute.MultiWorkerMirroredStrategy):
  """Looks like one of several workers."""

  def __init__(self):
    pass


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Connection reset by peer", "Connection reset by peer"),
        (
            "Graph execution error:\n\nDetected at node add defined at\n"
            '  File "x.py", line 3\nCollective ops is aborted by: gone.\nMore',
            "Collective ops is aborted by: gone",
        ),
        ("Graph execution error:", "Graph execution error:"),
    ],
)
def test_lost_worker_is_told_with_what_says_something(message, reason):
  with pytest.raises(cluster.WorkerLost) as error:
    with cluster.naming_lost_workers(_Several()):
      raise tf.errors.UnavailableError(None, None, message)
  assert f"is gone: {reason}. Start all" in str(error.value)


def test_errors_of_one_process_are_left_as_they_are():
  strategy = distribution.make_strategy("one_device")
  with pytest.raises(tf.errors.UnavailableError):
    with cluster.naming_lost_workers(strategy):
      raise tf.errors.UnavailableError(None, None, "gone")
