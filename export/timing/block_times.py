"""What branch and gate of each block take on this machine.

Needs NumPy and nothing of a network: it runs on devices, too.
"""

from collections.abc import Callable
import os
import pathlib
import time
from typing import Any

import numpy as np

from export.timing import block_costs
from export.timing import interleaved
from file_io import artifacts

MANIFEST = "probes.json"
_SHAPE = {"format": str, "batch_size": int, "shapes": list, "network": list}
_REPEATS = 40
_WARMUP = 5


def read_manifest(folder: str | os.PathLike) -> dict[str, Any]:
  """What `probes.write` says of a folder.

  Raises:
    FileNotFoundError: if it holds no probes.
  """
  path = pathlib.Path(folder) / MANIFEST
  if not path.is_file():
    raise FileNotFoundError(
        f"{folder} holds no {MANIFEST}: give the folder that "
        "export.export_model wrote with --keep_probes."
    )
  return artifacts.read_json(path, _SHAPE, writer="export.export_model")


def measure(
    folder: str | os.PathLike,
    load: Callable[..., Callable[[np.ndarray], object]],
    *,
    repeats: int = _REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> block_costs.Costs:
  """Measures the probes of a folder.

  Args:
    folder: that `probes.write` wrote.
    load: `(path, threshold=...)` -> function of images, of the files' format.
    repeats: rounds that count.
    clock: returns seconds.

  Returns:
    `Costs` in microseconds; zero where a block has no gate.

  Raises:
    FileNotFoundError: if the folder holds no probes.
  """
  folder = pathlib.Path(folder)
  manifest = read_manifest(folder)
  blocks = []
  for i, (block, shape) in enumerate(
      zip(manifest["network"], manifest["shapes"], strict=True)
  ):
    calls = _calls(folder, i, shape, load)
    branch = gate = 0.0
    if calls:
      times = interleaved.measure(
          calls, repeats=repeats, warmup=_WARMUP, clock=clock
      )
      branch, gate = _costs(times)
    blocks.append(block_costs.BlockCost(block["name"], branch, gate))
  return block_costs.Costs(
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


def _calls(folder, index, shape, load):
  deciding = sorted(folder.glob(f"block{index:03}_deciding*"))
  if not deciding:
    return {}
  (deciding,) = deciding
  closed = deciding.with_name(deciding.name.replace("deciding", "closed"))
  images = np.random.default_rng(index).uniform(size=shape).astype(np.float32)
  calls = {}
  # All gates are above probability 0, and none is above 1.
  for name, path, threshold in (
      ("ran", deciding, 0.0),
      ("skipped", deciding, 1.0),
      ("closed", closed, 1.0),
  ):
    run = load(path, threshold=threshold)
    calls[name] = lambda run=run: run(images)
  return calls
