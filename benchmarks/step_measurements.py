"""Train steps of one network, measured: time, peak memory, kernels."""

import concurrent.futures
import itertools
import multiprocessing
import pathlib
import re
import time

import numpy as np
import tensorflow as tf

from benchmarks import kernel_times
from export.timing import interleaved
import pgates
from trainers.training import distribution


def make_model(network, *, gate, rate_loss, image_size):
  """A network, compiled as the trainers do; its strategy is the current one.

  Args:
    network: `resnet50`, `cifar_resnet20`, ...
    gate: kind of the gates, or `none`.
    rate_loss: whether the rate of open gates is trained.
    image_size: side in pixels.

  Returns:
    A `pgates.GatedModel`.
  """
  model = pgates.build_network(
      network,
      10 if network.startswith("cifar") else 1000,
      gate=gate,
      input_shape=(image_size, image_size, 3),
  )
  # At the recipes' 0.1, the loss of a fixed batch of noise may overflow.
  optimizer = pgates.CoupledSGD(1e-3, momentum=0.9, coupled_weight_decay=1e-4)
  loss = pgates.TargetRateLoss(0.7, kind="per_batch") if rate_loss else None
  model.compile(optimizer, rate_loss=loss)
  # Else the first step builds it, and is traced twice.
  model.optimizer.build(model.trainable_variables)
  return model


def make_step(
    network, *, gate, rate_loss, batch_size, image_size, num_replicas=1
):
  """A network's train step on a batch that stays in memory.

  Args:
    network: of `make_model`.
    gate: the same.
    rate_loss: the same.
    batch_size: of all replicas together.
    image_size: side in pixels.
    num_replicas: into how many the CPU is split, where it is not 1.

  Returns:
    A function that trains one step, to its end, and returns the logs.
  """
  strategy = distribution.make_strategy(
      "auto", num_virtual_devices=num_replicas
  )
  with strategy.scope():
    model = make_model(
        network, gate=gate, rate_loss=rate_loss, image_size=image_size
    )
  rng = np.random.default_rng(0)
  shape = (batch_size, image_size, image_size, 3)
  images = rng.uniform(0, 255, shape).astype(np.float32)
  labels = np.arange(batch_size) % 10

  def share(context):
    own = slice(
        context.replica_id_in_sync_group,
        None,
        context.num_replicas_in_sync,
    )
    return tf.constant(images[own]), tf.constant(labels[own])

  batch = strategy.experimental_distribute_values_from_function(share)
  batches = itertools.repeat(batch)
  train = model.make_train_function()

  def step():
    logs = train(batches)
    return {name: float(value) for name, value in logs.items()}

  return step


def in_fresh_process(function, *args, **kwargs):
  """Calls a function in a process of its own, which ends with it.

  Args:
    function: of a module.
    *args: of the function; picklable, as what it returns.
    **kwargs: the same.

  Returns:
    What the function returns.
  """
  context = multiprocessing.get_context("spawn")
  with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
    return pool.submit(function, *args, **kwargs).result()


def step_times(
    candidates, *, repeats, warmup=2, clock=time.perf_counter, **sizes
):
  """Times train steps that take turns.

  Args:
    candidates: name -> arguments of `make_step`; the last is the reference.
    repeats: steps of each that count.
    warmup: steps of each that do not.
    clock: returns seconds.
    **sizes: further arguments of `make_step`, for all candidates.

  Returns:
    `interleaved.summary`.
  """
  steps = {name: make_step(**own, **sizes) for name, own in candidates.items()}
  times = interleaved.measure(
      steps, repeats=repeats, warmup=warmup, clock=clock
  )
  return interleaved.summary(times, list(candidates)[-1])


def peak_bytes():
  """The most memory this process has had resident (Linux).

  Not `ru_maxrss`, which a process inherits from the one that starts it.
  """
  status = pathlib.Path("/proc/self/status").read_text()
  return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def memory(*, num_steps, **arguments):
  """Peak memory of a process that trains one network, this one.

  Args:
    num_steps: to train.
    **arguments: of `make_step`.

  Returns:
    A dict of bytes: `before` the network is built, `peak`, and what
    `training` adds, their difference.
  """
  before = peak_bytes()
  step = make_step(**arguments)
  for _ in range(num_steps):
    step()
  peak = peak_bytes()
  return {"before": before, "peak": peak, "training": peak - before}


def profile(*, num_steps, **arguments):
  """Which ops a train step spends its time in; before TensorFlow has run.

  One op runs at a time, on all cores, so that none waits for another's
  threads and the times add up to the step's.

  Args:
    num_steps: to trace, after two others.
    **arguments: of `make_step`.

  Returns:
    `traced`.
  """
  tf.config.threading.set_inter_op_parallelism_threads(1)
  step = make_step(**arguments)
  for _ in range(2):
    step()
  return kernel_times.traced(step, num_steps=num_steps)
