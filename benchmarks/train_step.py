"""What gates cost while training: time, memory, and the all-reduce of rates.

    python -m benchmarks.train_step benchmarks/results/train_step.json

ResNet-50 with data-dependent gates and the rate loss beside the same without
gates, each with its real train step on one batch that stays in memory. Each
measurement has a process of its own; the two networks take turns in one where
time is measured, and have one each where memory is. A small network on 1, 2
and 4 replicas, which share the same cores, shows what the rate loss adds.
About ten minutes on two cores.
"""

import concurrent.futures
import itertools
import multiprocessing
import pathlib
import re
import time

from absl import app
import numpy as np
import tensorflow as tf

from benchmarks import interleaved
from benchmarks import kernel_times
from file_io import artifacts
import pgates
from trainers.training import distribution

_NETWORK, _SIZE = "resnet50", 224
_REPEATS = {8: 11, 32: 5}  # By batch size.
_MEMORY_STEPS = 2
_PROFILED_BATCH, _PROFILED_STEPS = 8, 3
_SMALL_NETWORK, _SMALL_SIZE, _SMALL_BATCH = "cifar_resnet20", 32, 64
_REPLICAS, _SMALL_REPEATS = (1, 2, 4), 31
_TARGET_RATIO = 1.03  # Of the steps' times.

# Name -> arguments of `make_step`; the last is the reference.
GATING = {
    "gated": {"gate": "dependent", "rate_loss": True},
    "ungated": {"gate": "none", "rate_loss": False},
}
RATE_LOSS = {
    "with_rate_loss": {"gate": "dependent", "rate_loss": True},
    "without_rate_loss": {"gate": "dependent", "rate_loss": False},
}


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


def _measure_times():
  rows = []
  for batch_size, repeats in _REPEATS.items():
    print(f"Step times, {_NETWORK}, batch {batch_size} ...", flush=True)
    sizes = {"batch_size": batch_size, "repeats": repeats}
    further = {"network": _NETWORK, "image_size": _SIZE}
    rows.append(_row(GATING, sizes, f"(target {_TARGET_RATIO})", **further))
  return rows


def _row(candidates, sizes, remark="", **further):
  times = in_fresh_process(step_times, candidates, **sizes, **further)
  _print_times(times, remark)
  return {**sizes, **times}


def _measure_memory():
  rows = []
  for batch_size in _REPEATS:
    print(f"Peak memory, {_NETWORK}, batch {batch_size} ...", flush=True)
    row = {
        name: in_fresh_process(
            memory,
            network=_NETWORK,
            batch_size=batch_size,
            image_size=_SIZE,
            num_steps=_MEMORY_STEPS,
            **candidate,
        )
        for name, candidate in GATING.items()
    }
    ratio = row["gated"]["training"] / row["ungated"]["training"]
    for name, found in row.items():
      megabytes = {key: round(value / 1e6) for key, value in found.items()}
      print(f"  {name:<20}{megabytes} MB")
    print(f"  ratio of what training adds{ratio:>16.3f}", flush=True)
    rows.append({"batch_size": batch_size, **row, "ratio": ratio})
  return rows


def _measure_kernels():
  print(f"Kernels, {_NETWORK}, batch {_PROFILED_BATCH} ...", flush=True)
  profiles = {
      name: in_fresh_process(
          profile,
          network=_NETWORK,
          batch_size=_PROFILED_BATCH,
          image_size=_SIZE,
          num_steps=_PROFILED_STEPS,
          **candidate,
      )
      for name, candidate in GATING.items()
  }
  result = kernel_times.compared(profiles)
  for name in GATING:
    share = 100 * result[name]["outside_convolutions"]
    print(f"  {name}: {share:.1f} % outside convolutions; a step:")
    _print_ops(result[name]["top_ops_ms"])
  print("  gated less ungated, a step:")
  _print_ops(result["growth_ms"])
  return {"batch_size": _PROFILED_BATCH, **result}


def _measure_replicas():
  rows = []
  for num_replicas in _REPLICAS:
    print(
        f"Rate loss, {_SMALL_NETWORK}, {num_replicas} replicas ...", flush=True
    )
    sizes = {"num_replicas": num_replicas, "batch_size": _SMALL_BATCH}
    further = {"network": _SMALL_NETWORK, "image_size": _SMALL_SIZE}
    rows.append(_row(RATE_LOSS, sizes, repeats=_SMALL_REPEATS, **further))
  return rows


def _print_times(times, remark=""):
  for name, row in times.items():
    low, high = map(interleaved.time_text, row["quartiles_ms"])
    print(
        f"  {name:<20}{interleaved.time_text(row['median_ms']):>12}"
        f" ({low} to {high})"
        f"{row['ratio']:>8.3f} {remark}".rstrip(),
        flush=True,
    )
    remark = ""  # Of the first.


def _print_ops(ops_ms):
  for kind, milliseconds in ops_ms.items():
    time = interleaved.time_text(milliseconds)
    print(f"    {kind:<36}{time:>12}", flush=True)


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the JSON to write.")
  value = {
      "network": _NETWORK,
      "image_size": _SIZE,
      "target_ratio": _TARGET_RATIO,
      **interleaved.environment(None),
      "step_times": _measure_times(),
      "memory_bytes": _measure_memory(),
      "kernels": _measure_kernels(),
      "replicas_network": _SMALL_NETWORK,
      "replicas": _measure_replicas(),
  }
  artifacts.write_json(argv[1], value)


if __name__ == "__main__":
  app.run(main)
