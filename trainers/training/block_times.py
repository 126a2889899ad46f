"""The times of branches that a run counts blocks by."""

import pathlib
import platform

from file_io import artifacts
import pgates

NAME = "block_times.json"
_SHAPE = {"blocks": [{"name": str, "seconds": float}]}


def of_run(
    model: pgates.GatedModel, workdir: pathlib.Path | None, *, begins: bool
) -> list[float]:
  """Seconds of each branch, measured once in the life of a run.

  What is measured differs from time to time: a run that goes on reads what it
  measured when it began, and computes what it would have without a stop.

  Args:
    model: the network.
    workdir: the folder of the run; None for one that is not kept.
    begins: whether the run has no checkpoint yet.

  Returns:
    A list, in the order of the blocks.

  Raises:
    ValueError: if a run that goes on has no times, or those of other blocks.
  """
  names = [block.name for block in pgates.gated_calls(model)]
  path = None if workdir is None else workdir / NAME
  if path is not None and path.exists():
    found = artifacts.read_json(path, _SHAPE, writer="trainers.train")
    if [block["name"] for block in found["blocks"]] == names:
      return [block["seconds"] for block in found["blocks"]]
    raise ValueError(f"{path} is not of this network. Give another --workdir.")
  if not begins:
    raise ValueError(
        f"{workdir} holds checkpoints but no {NAME}, by which the run counts "
        "its blocks. Put the file back, or give another --workdir."
    )
  seconds = pgates.branch_times(model)
  if path is not None:
    value = {
        "machine": platform.processor() or platform.machine(),
        "batch_size": 1,
        "blocks": [
            {"name": name, "seconds": each}
            for name, each in zip(names, seconds, strict=True)
        ],
    }
    artifacts.write_json(path, value)
  return seconds
