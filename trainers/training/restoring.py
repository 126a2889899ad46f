"""Where a run goes on: of several workers, all from the same place."""

import dataclasses
import zlib

import numpy as np

from trainers.training import distribution
from trainers.training import run_checkpoints

Position = run_checkpoints.Position


def restore(checkpoints: run_checkpoints.RunCheckpoints, model) -> Position:
  """Restores the newest whole checkpoint, and sees that all workers have it.

  The first worker finds it, after it has cleaned up what a kill left; the
  others read that very one. A listing of theirs might be late, or of another
  disk.

  Args:
    checkpoints: of the run.
    model: its `pgates.GatedModel`.

  Returns:
    Its `Position`.

  Raises:
    ValueError: if a worker does not have it, or other weights in it.
    OSError: as of `RunCheckpoints.restore`.
  """
  strategy = model.distribute_strategy
  total = distribution.sum_over_workers(strategy)
  workers = distribution.num_workers(strategy)
  if workers == 1:
    return checkpoints.restore()
  is_chief = distribution.is_chief(strategy)
  own = checkpoints.restore() if is_chief else Position()
  # The others bring zeros.
  position = Position(*map(total, dataclasses.astuple(own)))
  error = None
  if not is_chief:
    try:
      checkpoints.restore_at(position)
    except (OSError, ValueError) as found:
      error = found
  if total(error is not None):
    raise ValueError(
        str(error or f"Another worker does not have the checkpoint {position}.")
        + " All workers need the same --workdir, on a disk that they share."
    )
  digest = _digest(model)
  if total(total(digest) != workers * digest):
    raise ValueError(
        f"The workers have read other weights from the checkpoint {position}: "
        f"here their digest is {digest:08x}. Is --workdir the same folder for "
        "all of them?"
    )
  return position


def _digest(model):
  """A number of the weights that are trained."""
  digest = 0
  for variable in model.trainable_variables:
    digest = zlib.crc32(np.ascontiguousarray(variable).tobytes(), digest)
  return digest
