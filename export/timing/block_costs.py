"""What the branch and the gate of each block cost. Imports nothing of ours."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class BlockCost:
  """Of one call of a block, for one batch.

  Args:
    name: of the block.
    branch: what running the branch takes.
    gate: what deciding takes, with the skipping itself.
  """

  name: str
  branch: float
  gate: float


@dataclasses.dataclass(frozen=True)
class Costs:
  """Of all blocks of a network.

  Args:
    blocks: in the order of the columns of `gates`.
    unit: `us`, or `MACs`.
    format: `saved_model` or `tflite`, that times were measured in; None for
      multiply-adds.
    batch_size: that times were measured at.
  """

  blocks: tuple[BlockCost, ...]
  unit: str
  format: str | None = None
  batch_size: int = 1

  def as_json(
      self, network: Sequence[Mapping[str, Any]], **more: Any
  ) -> dict[str, Any]:
    """What a file of costs holds.

    Args:
      network: the `fingerprint` of the network they are of.
      **more: for readers to know where it was measured.
    """
    return {**dataclasses.asdict(self), "network": list(network), **more}
