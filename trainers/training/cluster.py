"""How the workers of a job wait for each other, and how they lose one."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import socket
import sys
import time

import tensorflow as tf

# These have no public names; the strategy itself takes no times.
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

# On a busy machine a worker may be silent for longer than TensorFlow's ten.
_HEARTBEAT_SECONDS = 60
_MESSAGE_SECONDS = 60.0
_POLL_SECONDS = 0.5


class WorkerLost(Exception):
  """Another worker of the job is gone, or never came, and so the job ends."""


def configure(num_workers: int, *, timeout: int) -> None:
  """Says for how long workers wait; call it before there is a strategy.

  Args:
    num_workers: of the job.
    timeout: seconds that they wait for each other at the start.
  """
  context.context().configure_coordination_service(
      service_type="standalone",
      service_leader="/job:worker/replica:0/task:0",
      cluster_register_timeout_in_ms=1000 * timeout,
      heartbeat_timeout_in_ms=1000 * _HEARTBEAT_SECONDS,
      coordinated_jobs=[
          coordination_config_pb2.CoordinatedJob(
              name="worker", num_tasks=num_workers
          )
      ],
  )


def wait_for_all(workers: Sequence[str], index: int, *, timeout: float) -> None:
  """Waits until all workers can be reached, and says for whom, every minute.

  TensorFlow would wait without a word, for ever, and while it does no thread of
  Python's can speak. So this comes first.

  Args:
    workers: the addresses of the job, `host:port`.
    index: of this one, which listens at its port as long.
    timeout: seconds that it waits.

  Raises:
    OSError: if it cannot listen at its port.
    WorkerLost: if they do not come.
  """
  missing = [each for i, each in enumerate(workers) if i != index]
  end = time.monotonic() + timeout
  next_message = time.monotonic()
  with _listening(workers[index]):
    while missing := [each for each in missing if not _answers(each)]:
      now = time.monotonic()
      if now > end:
        raise WorkerLost(
            f"Within {timeout:g} seconds (--cluster_timeout) there was no "
            f"{', '.join(missing)}. Start all workers, each with its TF_CONFIG."
        )
      if now >= next_message:
        print(
            f"Worker {index} of {len(workers)}, {workers[index]}, waits for "
            f"{', '.join(missing)}: for {timeout:g} seconds "
            "(--cluster_timeout).",
            file=sys.stderr,
            flush=True,
        )
        next_message = now + _MESSAGE_SECONDS
      time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _listening(address):
  """Listens at the port of an address, for others to see."""
  try:
    server = socket.create_server(("", port_of(address)), backlog=64)
  except OSError as error:
    raise OSError(
        f"{address}, of TF_CONFIG, cannot be this worker's: {error}. Name a "
        "free port of this machine."
    ) from error
  with server:
    yield


def _answers(address):
  host, _, _ = address.rpartition(":")
  place = host, port_of(address)
  try:
    with socket.create_connection(place, timeout=2.0) as found:
      # A port that nobody listens at may be drawn as that of the caller.
      return found.getsockname() != found.getpeername()
  except OSError:
    return False


def port_of(address: str) -> int:
  """The port of a worker's `host:port`.

  Raises:
    ValueError: if there is none.
  """
  return int(address.rpartition(":")[2])


@contextlib.contextmanager
def naming_lost_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
  """Says so where a collective of several workers fails.

  Args:
    strategy: a `tf.distribute.Strategy`.

  Raises:
    WorkerLost: in place of TensorFlow's errors, with several workers.
  """
  try:
    yield
  except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
      raise
    raise WorkerLost(
        f"Another worker is gone: {_reason(error)}. Start all workers again "
        "with the same command; they continue from the newest checkpoint."
    ) from error


def _reason(error):
  """Of the lines of TensorFlow's error, the first that says something."""
  lines = [line.strip() for line in str(error).splitlines()]
  empty = ("Graph execution error", "Detected at node", "File ")
  found = [line for line in lines if line and not line.startswith(empty)]
  return (found or lines)[0].rstrip(".")
