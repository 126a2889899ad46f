"""The costs of a network's blocks: of its multiply-adds, or from a file."""

import os
import pathlib
from typing import Any

from export.timing import block_costs
from file_io import artifacts
import pgates

SOURCES = ("measured", "macs")
_SHAPE = {
    "blocks": [{"name": str, "branch": float, "gate": float}],
    "unit": str,
    "format": object,
    "batch_size": int,
    "network": [{"name": str}],
}


def from_macs(model: pgates.GatedModel) -> block_costs.Costs:
  """Multiply-adds for costs, where the target is another machine."""
  macs = model.macs
  rows = zip(macs.names, macs.branches, macs.gates, strict=True)
  return block_costs.Costs(
      tuple(block_costs.BlockCost(*row) for row in rows), unit="MACs"
  )


def fingerprint(model: pgates.GatedModel) -> list[dict[str, Any]]:
  """What tells the costs of one network from those of another."""
  macs = model.macs
  rows = zip(macs.names, macs.branches, macs.gates, strict=True)
  return [
      {"name": name, "macs": branch, "gate_macs": gate}
      for name, branch, gate in rows
  ]


def read(
    path: str | os.PathLike, model: pgates.GatedModel, format: str
) -> block_costs.Costs:
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
  value = artifacts.read_json(path, _SHAPE, writer="export.measure_costs")
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
  return block_costs.Costs(
      tuple(block_costs.BlockCost(**block) for block in value["blocks"]),
      unit=value["unit"],
      format=format,
      batch_size=value["batch_size"],
  )
