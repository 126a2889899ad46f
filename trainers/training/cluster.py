"""How the workers of a job wait for each other, and how they lose one."""

from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import sys
import threading

import tensorflow as tf

# These have no public names; the strategy itself takes no times.
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

# On a busy machine a worker may be silent for longer than TensorFlow's ten.
_HEARTBEAT_SECONDS = 60
_MESSAGE_SECONDS = 60.0


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


@contextlib.contextmanager
def waiting(
    workers: Sequence[str], index: int, *, timeout: int
) -> Iterator[None]:
  """Says at once and every minute for whom it waits, until all are there.

  Args:
    workers: the addresses of the job.
    index: of this one.
    timeout: seconds that it waits.

  Raises:
    WorkerLost: if they do not come.
  """
  others = [each for i, each in enumerate(workers) if i != index]
  message = (
      f"Worker {index} of {len(workers)}, {workers[index]}, waits for "
      f"{', '.join(others)}: for {timeout} seconds (--cluster_timeout)."
  )
  joined = threading.Event()

  def speak():
    while True:
      print(message, file=sys.stderr, flush=True)
      if joined.wait(_MESSAGE_SECONDS):
        return

  speaker = threading.Thread(target=speak, daemon=True)
  speaker.start()
  try:
    yield
  except tf.errors.OpError as error:
    raise WorkerLost(
        f"Not all of {', '.join(workers)} have joined within {timeout} seconds "
        f"(--cluster_timeout). Start all of them, each with its TF_CONFIG. "
        f"TensorFlow says: {str(error).splitlines()[0]}"
    ) from error
  finally:
    joined.set()
    speaker.join()


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
