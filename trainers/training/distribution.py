"""The `tf.distribute` strategy of a run."""

from collections.abc import Callable
import json
import os

import tensorflow as tf

from trainers.training import cluster


def make_strategy(
    kind: str, *, num_virtual_devices: int = 1, cluster_timeout: int = 600
) -> tf.distribute.Strategy:
  """Makes the strategy; call it before TensorFlow has used a device.

  Args:
    kind: `auto` (mirrored where there are several devices), `one_device`,
      `mirrored`, or `multi_worker`: as many processes as `TF_CONFIG` names.
    num_virtual_devices: into how many the CPU is split.
    cluster_timeout: seconds that several workers wait for each other.

  Returns:
    A `tf.distribute.Strategy`.

  Raises:
    ValueError: if `mirrored` finds one device only, or `multi_worker` no
      `TF_CONFIG` of several workers.
    cluster.WorkerLost: if not all workers come.
  """
  if kind == "multi_worker":
    workers, index = _read_workers(os.environ.get("TF_CONFIG"))
    cluster.wait_for_all(workers, index, timeout=cluster_timeout)
    cluster.configure(len(workers), timeout=cluster_timeout)
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


def _read_workers(text):
  """The addresses of the job, and the index of this one's."""
  example = (
      '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
      '"task": {"type": "worker", "index": 0}}'
  )
  try:
    config = json.loads(text or "{}")
    workers = config["cluster"]["worker"]
    task = config["task"]["type"], int(config["task"]["index"])
    for address in workers:
      cluster.port_of(address)
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ValueError(
        "--distribution=multi_worker needs TF_CONFIG in the environment of "
        f"each process, as in TF_CONFIG='{example}'. Received: {text!r}"
    ) from error
  if task[0] != "worker" or not 0 <= task[1] < len(workers):
    raise ValueError(
        f"TF_CONFIG names the task {task}; expected a worker from 0 to "
        f"{len(workers) - 1}, as in TF_CONFIG='{example}'."
    )
  return workers, task[1]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
  """Whether this process is the one that writes files: the first worker."""
  resolver = strategy.cluster_resolver
  return resolver is None or not resolver.task_id


def sum_over_workers(strategy: tf.distribute.Strategy) -> Callable[[int], int]:
  """Adds up a number of each worker.

  Args:
    strategy: a `tf.distribute.Strategy`.

  Returns:
    A function, int -> int; of one process, the identity. With several workers
    all must call it, as often as each other.
  """
  if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
    return int

  def add(number):
    context = tf.distribute.get_replica_context()
    # The sum goes where its terms are; an argument is nowhere yet.
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(number))

  @tf.function
  def total(number):
    sums = strategy.run(add, args=(number,))
    return strategy.experimental_local_results(sums)[0]

  # Each of a worker's replicas brings the number; all have as many.
  replicas = strategy.num_replicas_in_sync // num_workers(strategy)
  return (
      lambda number: int(total(tf.constant(int(number), tf.int64))) // replicas
  )


def any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
  """Asks all workers whether any of them says yes.

  Args:
    strategy: a `tf.distribute.Strategy`.

  Returns:
    A function, bool -> bool, as of `sum_over_workers`.
  """
  total = sum_over_workers(strategy)
  return lambda flag: total(bool(flag)) > 0


def num_workers(strategy: tf.distribute.Strategy) -> int:
  """Processes of the job."""
  resolver = strategy.cluster_resolver
  if resolver is None or not resolver.task_type:
    return 1
  return resolver.cluster_spec().num_tasks("worker")
