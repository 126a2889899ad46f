"""What branch and gate of each block take on this machine."""

from collections.abc import Callable
import os
import pathlib
import time

import numpy as np

from export.timing import costs as costs_lib
from export.timing import engines
from export.timing import interleaved
from export.timing import probes

_REPEATS = 40
_WARMUP = 5


def measure(
    folder: str | os.PathLike,
    *,
    repeats: int = _REPEATS,
    num_threads: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> costs_lib.Costs:
  """Measures the probes of a folder.

  Args:
    folder: that `probes.write` wrote.
    repeats: rounds that count.
    num_threads: of TF-Lite; None for as many as there are cores.
    clock: returns seconds.

  Returns:
    `Costs` in microseconds; zero where a block has no gate.

  Raises:
    FileNotFoundError: if the folder holds no probes.
  """
  folder = pathlib.Path(folder)
  manifest = probes.read_manifest(folder)
  blocks = []
  for i, (block, shape) in enumerate(
      zip(manifest["network"], manifest["shapes"], strict=True)
  ):
    calls = _calls(folder, i, manifest["format"], shape, num_threads)
    branch = gate = 0.0
    if calls:
      times = interleaved.measure(
          calls, repeats=repeats, warmup=_WARMUP, clock=clock
      )
      branch, gate = _costs(times)
    blocks.append(costs_lib.BlockCost(block["name"], branch, gate))
  return costs_lib.Costs(
      tuple(blocks),
      unit="us",
      format=manifest["format"],
      batch_size=manifest["batch_size"],
  )


def _costs(times):
  """Branch and gate in microseconds, of three ways through a block."""
  # Others on the machine only ever add: the lower quartile is nearer to what
  # the block takes than the median.
  ran, skipped, closed = (
      float(np.quantile(times[name], 0.25))
      for name in ("ran", "skipped", "closed")
  )
  return 1e6 * max(ran - skipped, 0.0), 1e6 * max(skipped - closed, 0.0)


def _calls(folder, index, format, shape, num_threads):
  suffix = ".tflite" if format == "tflite" else ""
  deciding = folder / f"block{index:03}_deciding{suffix}"
  if not deciding.exists():
    return {}
  images = np.random.default_rng(index).uniform(size=shape).astype(np.float32)
  paths = {
      # All gates are above probability 0, and none is above 1.
      "ran": (deciding, 0.0),
      "skipped": (deciding, 1.0),
      "closed": (folder / f"block{index:03}_closed{suffix}", 1.0),
  }
  calls = {}
  for name, (path, threshold) in paths.items():
    run = engines.load(
        path, format, threshold=threshold, num_threads=num_threads
    )
    calls[name] = lambda run=run: run(images)
  return calls
