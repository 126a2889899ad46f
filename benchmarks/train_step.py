"""What gates cost while training: time, memory, and the all-reduce of rates.

    python -m benchmarks.train_step benchmarks/results/train_step.json

ResNet-50 with data-dependent gates and the rate loss beside the same without
gates, each with its real train step on one batch that stays in memory. Each
measurement has a process of its own; the two networks take turns in one where
time is measured, and have one each where memory is. A small network on 1, 2
and 4 replicas, which share the same cores, shows what the rate loss adds.
About ten minutes on two cores.
"""

from absl import app

from benchmarks import environment
from benchmarks import kernel_times
from benchmarks import step_measurements
from export.timing import interleaved
from file_io import artifacts

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


def _measure_times():
  rows = []
  for batch_size, repeats in _REPEATS.items():
    print(f"Step times, {_NETWORK}, batch {batch_size} ...", flush=True)
    sizes = {"batch_size": batch_size, "repeats": repeats}
    further = {"network": _NETWORK, "image_size": _SIZE}
    rows.append(_row(GATING, sizes, f"(target {_TARGET_RATIO})", **further))
  return rows


def _row(candidates, sizes, remark="", **further):
  times = step_measurements.in_fresh_process(
      step_measurements.step_times, candidates, **sizes, **further
  )
  _print_times(times, remark)
  return {**sizes, **times}


def _measure_memory():
  rows = []
  for batch_size in _REPEATS:
    print(
        f"Peak step_measurements.memory, {_NETWORK}, batch {batch_size} ...",
        flush=True,
    )
    row = {
        name: step_measurements.in_fresh_process(
            step_measurements.memory,
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
      name: step_measurements.in_fresh_process(
          step_measurements.profile,
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
      **environment.describe(None),
      "step_times": _measure_times(),
      "memory_bytes": _measure_memory(),
      "kernels": _measure_kernels(),
      "replicas_network": _SMALL_NETWORK,
      "replicas": _measure_replicas(),
  }
  artifacts.write_json(argv[1], value)


if __name__ == "__main__":
  app.run(main)
