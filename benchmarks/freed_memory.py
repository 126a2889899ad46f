"""What a train step takes where freed memory is kept, and where it is not.

    python -m benchmarks.freed_memory benchmarks/results/freed_memory.json

`trainers.freed_memory` sets it for a whole process. So each measurement has a
process of its own; kept and not kept take turns. A step is that of a gated
network with the rate loss, on one batch that stays in memory. About five
minutes on two cores.
"""

import statistics

from absl import app

from benchmarks import environment
from benchmarks import step_measurements
from export.timing import interleaved
from file_io import artifacts
from trainers import freed_memory

# Network, side of its images, size of its batches.
_STEPS = (
    ("cifar_resnet20", 28, 64),
    ("cifar_resnet20", 32, 128),
)
_ROUNDS = 3
_REPEATS = 10
_GATED = {"gate": "dependent", "rate_loss": True}


def _measure(is_kept, network, image_size, batch_size, repeats):
  """Median milliseconds of a step and peak bytes of this process."""
  if is_kept and not freed_memory.keep():
    raise app.UsageError(
        "Memory can be kept with glibc alone, and without MALLOC_* or "
        "GLIBC_TUNABLES in the environment."
    )
  times = step_measurements.step_times(
      {"step": _GATED},
      repeats=repeats,
      network=network,
      image_size=image_size,
      batch_size=batch_size,
  )
  return times["step"]["median_ms"], step_measurements.peak_bytes()


def measure_step(network, image_size, batch_size):
  """A row of the result, of one network.

  Args:
    network: as of `step_measurements.make_model`.
    image_size: side in pixels.
    batch_size: of a step.

  Returns:
    A dict for JSON; `time_ratio` and `memory_ratio` are kept by returned.
  """
  print(f"{network}, {image_size} pixels, batch {batch_size} ...", flush=True)
  names = {"returned": False, "kept": True}
  found = {name: [] for name in names}
  for _ in range(_ROUNDS):
    for name, is_kept in names.items():
      found[name].append(
          step_measurements.in_fresh_process(
              _measure, is_kept, network, image_size, batch_size, _REPEATS
          )
      )
  row = {
      name: {
          "step_ms": [step for step, _ in each],
          "median_ms": statistics.median(step for step, _ in each),
          "peak_bytes": max(peak for _, peak in each),
      }
      for name, each in found.items()
  }
  time_ratio, memory_ratio = (
      row["kept"][key] / row["returned"][key]
      for key in ("median_ms", "peak_bytes")
  )
  for name, each in row.items():
    print(
        f"  {name:<10}{interleaved.time_text(each['median_ms']):>12}"
        f"{each['peak_bytes'] / 1e6:>10,.0f} MB",
        flush=True,
    )
  print(f"  kept by returned: time {time_ratio:.2f}, memory {memory_ratio:.2f}")
  return {
      "network": network,
      "image_size": image_size,
      "batch_size": batch_size,
      **row,
      "time_ratio": time_ratio,
      "memory_ratio": memory_ratio,
  }


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the JSON to write.")
  artifacts.write_json(
      argv[1],
      {
          **environment.describe(None),
          "rounds": _ROUNDS,
          "repeats": _REPEATS,
          "steps": [measure_step(*each) for each in _STEPS],
      },
  )


if __name__ == "__main__":
  app.run(main)
