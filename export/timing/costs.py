"""What the branch and the gate of each block cost, and files of it."""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import os
import pathlib
from typing import Any

from file_io import artifacts
import pgates

SOURCES = ("measured", "macs")


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


def from_macs(model: pgates.GatedModel) -> Costs:
  """Multiply-adds for costs, where the target is another machine."""
  macs = model.macs
  rows = zip(macs.names, macs.branches, macs.gates, strict=True)
  return Costs(tuple(BlockCost(*row) for row in rows), unit="MACs")


def fingerprint(model: pgates.GatedModel) -> list[dict[str, Any]]:
  """What tells the costs of one network from those of another."""
  macs = model.macs
  rows = zip(macs.names, macs.branches, macs.gates, strict=True)
  return [
      {"name": name, "macs": branch, "gate_macs": gate}
      for name, branch, gate in rows
  ]


def write(
    path: str | os.PathLike,
    costs: Costs,
    network: Sequence[Mapping[str, Any]],
    **more: Any,
) -> None:
  """Writes a file of costs.

  Args:
    path: of the JSON file.
    costs: to write.
    network: its `fingerprint`.
    **more: for readers to know where it was measured.
  """
  value = {**dataclasses.asdict(costs), "network": list(network), **more}
  artifacts.write_json(path, value)


def read(
    path: str | os.PathLike, model: pgates.GatedModel, format: str
) -> Costs:
  """Reads a file of `export.measure_costs`.

  Args:
    path: of the JSON file.
    model: the network that is exported.
    format: it is exported in.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if it is none, of another network, or of another format.
  """
  path = pathlib.Path(path).expanduser()
  if not path.is_file():
    raise FileNotFoundError(
        f"--costs is measured, macs, or a file that export.measure_costs "
        f"wrote. There is no file {path}."
    )
  value = artifacts.read_json(path)
  wanted = {"blocks", "unit", "format", "batch_size", "network"}
  if not isinstance(value, dict) or not wanted <= value.keys():
    raise ValueError(f"{path} is no file of export.measure_costs.")
  if value["network"] != fingerprint(model):
    raise ValueError(
        f"{path} holds the costs of another network, of the blocks "
        f"{[each['name'] for each in value['network']]} with other multiply-"
        f"adds than those of {list(model.macs.names)}. Measure this one: "
        "export it with --keep_probes, and run export.measure_costs."
    )
  if value["format"] != format:
    raise ValueError(
        f"{path} was measured in the format {value['format']}, and --format "
        f"has {format}. Measure a file for each format, and export one format "
        "at a time."
    )
  return Costs(
      tuple(BlockCost(**block) for block in value["blocks"]),
      unit=value["unit"],
      format=format,
      batch_size=value["batch_size"],
  )
