"""The `tf.distribute` strategy of a run."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import json
import os

import tensorflow as tf


def make_strategy(
    kind: str, *, num_virtual_devices: int = 1
) -> tf.distribute.Strategy:
  """Makes the strategy; call it before TensorFlow has used a device.

  Args:
    kind: `auto` (mirrored where there are several devices), `one_device`,
      `mirrored`, or `multi_worker`: as many processes as `TF_CONFIG` names.
    num_virtual_devices: into how many the CPU is split.

  Returns:
    A `tf.distribute.Strategy`.

  Raises:
    ValueError: if `mirrored` finds one device only, or `multi_worker` no
      `TF_CONFIG` of several workers.
  """
  if kind == "multi_worker":
    _check_workers(os.environ.get("TF_CONFIG"))
    return tf.distribute.MultiWorkerMirroredStrategy()
  if num_virtual_devices > 1:
    cpu = tf.config.list_physical_devices("CPU")[0]
    existing = tf.config.get_logical_device_configuration(cpu) or []
    if len(existing) < num_virtual_devices:
      tf.config.set_logical_device_configuration(
          cpu, [tf.config.LogicalDeviceConfiguration()] * num_virtual_devices
      )
    devices = [f"CPU:{i}" for i in range(num_virtual_devices)]
    # Collectives between CPUs of one process keep keys across strategies.
    return tf.distribute.MirroredStrategy(
        devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
  gpus = tf.config.list_logical_devices("GPU")
  if kind == "mirrored" and len(gpus) < 2:
    raise ValueError(
        "--distribution=mirrored needs several GPUs, or "
        f"--num_virtual_devices. Found: {len(gpus)} GPU(s)."
    )
  if kind == "one_device" or len(gpus) < 2:
    return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
  return tf.distribute.MirroredStrategy()


def _check_workers(text):
  example = (
      '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
      '"task": {"type": "worker", "index": 0}}'
  )
  try:
    config = json.loads(text or "{}")
    workers = config["cluster"]["worker"]
    task = config["task"]["type"], int(config["task"]["index"])
  except (ValueError, KeyError, TypeError) as error:
    raise ValueError(
        "--distribution=multi_worker needs TF_CONFIG in the environment of "
        f"each process, as in TF_CONFIG='{example}'. Received: {text!r}"
    ) from error
  if task[0] != "worker" or not 0 <= task[1] < len(workers):
    raise ValueError(
        f"TF_CONFIG names the task {task}; expected a worker from 0 to "
        f"{len(workers) - 1}, as in TF_CONFIG='{example}'."
    )


class WorkerLost(Exception):
  """Another worker of the job is gone, and so the job ends."""


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
        "Another worker is gone: "
        f"{str(error).splitlines()[0]}. Start all workers again with the same "
        "command; they continue from the newest checkpoint."
    ) from error


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process is the one that writes files: the first worker."""
  resolver = strategy.cluster_resolver
  return resolver is None or not resolver.task_id


def any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
  """Asks all workers whether any of them says yes.

  Args:
    strategy: a `tf.distribute.Strategy`.

  Returns:
    A function, bool -> bool. With several workers all must call it, as often
    as each other.
  """
  if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
    return bool

  def count(flag):
    context = tf.distribute.get_replica_context()
    # The sum goes where its terms are; an argument is nowhere yet.
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(flag))

  @tf.function
  def total(flag):
    counts = strategy.run(count, args=(flag,))
    return strategy.experimental_local_results(counts)[0]

  return lambda flag: bool(total(tf.constant(int(flag))) > 0)
