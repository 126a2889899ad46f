"""Tests of `trainers.training.cluster`."""

import socket
import threading
import time

import pytest
import tensorflow as tf

from trainers.training import cluster
from trainers.training import distribution


def _free_addresses(count):
  sockets = [socket.create_server(("", 0)) for _ in range(count)]
  addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
  for each in sockets:
    each.close()
  return addresses


def test_workers_that_come_late_are_waited_for(monkeypatch, capsys):
  monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.05)
  monkeypatch.setattr(cluster, "_MESSAGE_SECONDS", 0.2)
  workers = _free_addresses(3)

  listeners = []

  def wait(index):
    time.sleep(0.3 * index)
    cluster.wait_for_all(workers, index, timeout=30)
    time.sleep(0.2)
    # As TensorFlow does, which takes the port over.
    port = int(workers[index].split(":")[1])
    listeners.append(socket.create_server(("", port)))

  threads = [threading.Thread(target=wait, args=(i,)) for i in range(3)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(20)
  assert len(listeners) == 3
  for each in listeners:
    each.close()
  lines = capsys.readouterr().err.splitlines()
  first = f"Worker 0 of 3, {workers[0]}, waits for {workers[1]}, {workers[2]}: "
  assert lines[0] == first + "for 30 seconds (--cluster_timeout)."
  assert len([line for line in lines if line.startswith("Worker 0")]) > 1


def test_workers_that_never_come_are_named(monkeypatch, capsys):
  monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.05)
  workers = _free_addresses(2)
  message = f"Within 0.2 seconds .* there was no {workers[1]}. Start all work"
  with pytest.raises(cluster.WorkerLost, match=message):
    cluster.wait_for_all(workers, 0, timeout=0.2)
  assert f"waits for {workers[1]}" in capsys.readouterr().err


def test_port_that_is_taken_is_an_error_that_names_it():
  with socket.create_server(("", 0)) as taken:
    address = f"localhost:{taken.getsockname()[1]}"
    with pytest.raises(OSError, match=f"{address}, of TF_CONFIG, cannot be"):
      cluster.wait_for_all([address, "localhost:1"], 0, timeout=1)


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
