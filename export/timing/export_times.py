"""The times of several exports beside each other."""

from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np

from export.timing import whole_times
from file_io import artifacts

_SHAPE = {"variants": [{"format": str, "path": str, "threshold": object}]}


def measure(
    folders: Sequence[pathlib.Path],
    images: np.ndarray,
    batch_sizes: Sequence[int],
) -> list[dict[str, Any]]:
  """Times all files of exports.

  Args:
    folders: of exports; the first has one file of each format.
    images: float32 [n, height, width, channels].
    batch_sizes: of SavedModels.

  Returns:
    A dict for JSON for each file: `export`, `path`, `format` and `time_ratios`
    by batch size, to the file of the first export in that format.

  Raises:
    ValueError: if a folder holds no export, the first has no file of a format,
      or files take different thresholds.
  """
  rows = []
  for folder in folders:
    exported = artifacts.read_json(
        folder / "export.json", _SHAPE, writer="export.export_model"
    )
    rows += [{**row, "export": folder} for row in exported["variants"]]
  timed = []
  for format in dict.fromkeys(row["format"] for row in rows):
    of_format = [row for row in rows if row["format"] == format]
    if of_format[0]["export"] != folders[0]:
      raise ValueError(f"{folders[0]} has no {format}, which others have.")
    sizes = [1] if format == "tflite" else batch_sizes
    found = {size: _ratios(of_format, images, format, size) for size in sizes}
    timed += [
        {
            "export": str(row["export"]),
            "path": row["path"],
            "format": format,
            "time_ratios": {str(size): found[size][i] for size in sizes},
        }
        for i, row in enumerate(of_format)
    ]
  return timed


def _ratios(rows, images, format, batch_size):
  print(f"Timing {len(rows)} of {format}, batch {batch_size} ...", flush=True)
  thresholds = {row["threshold"] for row in rows} - {None}
  if len(thresholds) > 1:
    raise ValueError(
        f"Their gates have different thresholds: {sorted(thresholds)}. Time "
        "them apart."
    )
  return whole_times.ratios(
      {i: row["export"] / row["path"] for i, row in enumerate(rows)},
      images,
      reference=0,
      format=format,
      batch_size=batch_size,
      threshold=next(iter(thresholds), None),
  )
