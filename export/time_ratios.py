"""The times of exported files, beside those of networks without gates."""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import dataclasses
import pathlib
import tempfile
from typing import Any

import numpy as np

from export import exporting
from export.decisions import decided_networks
from export.inputs import data as data_lib
from export.timing import whole_times
import pgates
from pgates.inference import block_rates

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Times:
  """What was found, for `export.json`.

  Args:
    rows: of the exported files, with `time_ratio`.
    references: rows of networks that were exported alike for comparison:
      `ungated`, where a run without gates is known, and `all_open`.
    limits: format -> time with the blocks removed that are open for less than
      half of the validation images, without any gate.
  """

  rows: Sequence[Json]
  references: Sequence[Json]
  limits: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Networks:
  """What an export is compared with.

  Args:
    gated: the network that was exported.
    strategy: of its gates.
    ungated: one trained without gates, or None.
  """

  gated: pgates.GatedModel
  strategy: pgates.Strategy
  ungated: pgates.GatedModel | None = None

  def references(self) -> dict[str, pgates.GatedModel]:
    """By name; the first is what time ratios are taken by."""
    found = {} if self.ungated is None else {"ungated": self.ungated}
    return {**found, "all_open": self.gated}

  def limit(self, data: data_lib.Data) -> pgates.GatedModel:
    """The network of the blocks that most images need, without gates."""
    model, rule = self.strategy.resolve(self.gated, data.validation)
    measure = decided_networks.Measurement(model, rule, data.validation)
    rates = measure(decided_networks.of_network(model)).open_rates
    return decided_networks.opened(
        model, np.flatnonzero(rates < block_rates.MAJORITY).tolist()
    )


def measure(
    rows: Sequence[Json],
    networks: Networks,
    data: data_lib.Data,
    *,
    folder: pathlib.Path,
    batch_size: int,
) -> Times:
  """Times the files of an export beside networks without gates.

  Args:
    rows: of `export.json`.
    networks: to compare with.
    data: to run on.
    folder: that their paths start in.
    batch_size: of SavedModels; TF-Lite files take one image.
  """
  ratios, references, limits = {}, [], {}
  limit = networks.limit(data)
  for format in dict.fromkeys(row["format"] for row in rows):
    of_format = [row for row in rows if row["format"] == format]
    print(f"Timing {len(of_format)} of {format} ...", flush=True)
    with _written(networks, limit, data, format) as (paths, written):
      files = {row["path"]: folder / row["path"] for row in of_format}
      found = whole_times.ratios(
          {**paths, **files},
          data.examples.images,
          reference=next(iter(written)),
          format=format,
          batch_size=1 if format == "tflite" else batch_size,
          threshold=_threshold(of_format),
      )
    ratios |= found
    limits[format] = found["limit"]
    references += [
        {**row, "time_ratio": found[name]} for name, row in written.items()
    ]
  timed = [{**row, "time_ratio": ratios[row["path"]]} for row in rows]
  return Times(timed, references, limits)


@contextlib.contextmanager
def _written(networks, limit, data, format):
  """Yields the paths of all that is compared with, and the references' rows."""
  with tempfile.TemporaryDirectory() as temporary:
    references = networks.references()
    paths = {
        name: pathlib.Path(temporary) / name for name in (*references, "limit")
    }
    written = {
        name: exporting.write_open(model, data, paths[name], format, name=name)
        for name, model in {**references, "limit": limit}.items()
    }
    rows = {
        name: exporting.row_of_open(
            written[name], data, paths[name], format, name=name
        )
        for name in references
    }
    yield paths, rows


def _threshold(rows: Iterable[Mapping[str, Any]]) -> float | None:
  known = (row["threshold"] for row in rows)
  return next((value for value in known if value is not None), None)
