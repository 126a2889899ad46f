"""Which of the exported networks is the fastest that is accurate enough."""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from file_io import artifacts
from trainers.acceleration import steps as steps_lib

# Of the time of the given network: what is nearer to it may be noise.
_FASTER = 0.97
_EXPORTED = {
    "variants": [
        {
            "format": str,
            "path": str,
            "bytes": int,
            "macs": float,
            "accuracy": float,
        }
    ]
}


@dataclasses.dataclass(frozen=True)
class Row:
  """An exported file.

  Args:
    network: name of the folder of its run.
    format: `saved_model` or `tflite`.
    path: of the file or folder.
    validation_accuracy: a share.
    accuracy: a share, on test data.
    macs: multiply-adds of an example, on average.
    bytes: of the file or folder.
    times: by batch size, by that of the given network.
    chosen: whether it is the fastest of its format that is accurate enough.
  """

  network: str
  format: str
  path: str
  validation_accuracy: float
  accuracy: float
  macs: float
  bytes: int
  times: dict[str, float]
  chosen: bool = False


def rows(
    found: Sequence[steps_lib.Found],
    times: Sequence[dict[str, Any]],
    *,
    lowest_accuracy: float,
) -> list[Row]:
  """All exported files; in each format the fastest accurate one is chosen.

  Args:
    found: the networks, first the given one.
    times: of `steps.Steps.times`.
    lowest_accuracy: a share, on validation data.

  Returns:
    The rows, by format; of each format one is chosen, the given network's
    where none takes less than 0.97 of its time, one image at a time.
  """
  known = {(row["export"], row["path"]): row["time_ratios"] for row in times}
  made = []
  for each in found:
    exported = artifacts.read_json(
        each.exported / "export.json", _EXPORTED, writer="export.export_model"
    )
    for row in exported["variants"]:
      made.append(_row(each, row, known[str(each.exported), row["path"]]))
  for format in dict.fromkeys(row.format for row in made):
    times_of = {
        i: row.times["1"]
        for i, row in enumerate(made)
        if row.format == format and _may_be_chosen(row, lowest_accuracy)
    }
    best = min(times_of, key=times_of.get)
    made[best] = dataclasses.replace(made[best], chosen=True)
  return sorted(made, key=lambda row: row.format)


def _may_be_chosen(row, lowest_accuracy):
  if row.network == steps_lib.GIVEN:
    return True
  is_accurate = row.validation_accuracy >= lowest_accuracy - 1e-9
  return is_accurate and row.times["1"] < _FASTER


def _row(found, row, times):
  accuracy = found.accuracy
  if "auto" in row:
    accuracy = row["auto"]["validation_accuracy"]
  return Row(
      network=found.folder.name,
      format=row["format"],
      path=str(pathlib.Path(found.exported, row["path"])),
      validation_accuracy=accuracy,
      accuracy=row["accuracy"],
      macs=row["macs"],
      bytes=row["bytes"],
      times=times,
  )


def table(made: Sequence[Row]) -> str:
  """The rows as text, the given network first in each format."""
  dense = {
      row.format: row.macs for row in made if row.network == steps_lib.GIVEN
  }
  sizes = sorted({size for row in made for size in row.times}, key=int)
  lines = [
      f"{'':<24}{'validation':>11}{'test':>9}{'MACs':>8}"
      + "".join(f"{'time, b' + size:>10}" for size in sizes)
      + f"{'bytes':>13}"
  ]
  for row in made:
    ratios = (row.times.get(size) for size in sizes)
    lines.append(
        f"{row.format + ' ' + row.network:<24}"
        f"{100 * row.validation_accuracy:>10.2f}%{100 * row.accuracy:>8.2f}%"
        f"{100 * row.macs / dense[row.format]:>7.1f}%"
        + "".join(f"{'' if r is None else f'{r:.2f}':>10}" for r in ratios)
        + f"{row.bytes:>13,}"
        + (" *" if row.chosen else "")
    )
  return "\n".join(lines)
