"""The time of exported files, beside that of the ungated network."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import tempfile
from typing import Any

from export import exporting
from export.inputs import data as data_lib
from export.timing import whole_times
import pgates


def add(
    rows: Sequence[dict[str, Any]],
    model: pgates.GatedModel,
    data: data_lib.Data,
    *,
    output_dir: pathlib.Path,
    batch_size: int,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
  """Times the files of an export, and the ungated network exported alike.

  Args:
    rows: of `export.json`.
    model: the network.
    data: to run on.
    output_dir: folder of all exports.
    batch_size: of SavedModels; TF-Lite files take one image.

  Returns:
    `(rows, ungated)`: the rows with `time_ratio`, and one of gating `ungated`
    for each format, which is not among the files that are exported.
  """
  found, reference = {}, []
  for format in dict.fromkeys(row["format"] for row in rows):
    of_format = [row for row in rows if row["format"] == format]
    print(f"Timing {len(of_format)} of {format} ...", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
      path = pathlib.Path(temporary) / "ungated"
      ungated = exporting.write_ungated(model, data, path, format)
      paths = {
          str(i): output_dir / row["path"] for i, row in enumerate(of_format)
      }
      ratios = whole_times.ratios(
          {"ungated": path, **paths},
          data.examples.images,
          format=format,
          batch_size=1 if format == "tflite" else batch_size,
          threshold=_threshold(of_format),
      )
    reference.append({**ungated, "time_ratio": 1.0})
    for i, row in enumerate(of_format):
      found[row["path"]] = ratios[str(i)]
  timed = [{**row, "time_ratio": found[row["path"]]} for row in rows]
  return timed, reference


def _threshold(rows: Iterable[Mapping[str, Any]]) -> float | None:
  known = (row["threshold"] for row in rows)
  return next((value for value in known if value is not None), None)
