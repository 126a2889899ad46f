"""Tests of `benchmarks.export_sizes`."""

import pathlib

import numpy as np

from benchmarks import export_sizes
from export.saved_model import saved_models
from file_io import artifacts
from tests.helpers import gated_networks
from tests.helpers import result_shapes

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_file_of_the_folder_counts(monkeypatch):
  def write(server, path, *, name):
    del server, name
    (path / "deep").mkdir(parents=True)
    (path / "one").write_bytes(bytes(1000))
    (path / "deep" / "other").write_bytes(bytes(500))

  monkeypatch.setattr(saved_models, "write", write)
  model = gated_networks.resnet()
  variables = [np.asarray(v) for v in model.weights]
  weights = sum(v.nbytes for v in variables if v.dtype == np.float32)
  assert export_sizes.size(model) == {
      "blocks": 3,
      "weights": weights,
      "folder": 1500,
      "ratio": 1500 / weights,
  }


def test_the_committed_rows_have_what_is_written_today():
  row, *_ = result_shapes.committed("export_sizes.json")["rows"]
  ours = export_sizes.size(gated_networks.resnet())
  assert result_shapes.shape({"network": "resnet", **ours}) == (
      result_shapes.shape(row)
  )


def test_the_table_is_that_of_its_file():
  path = ROOT / "benchmarks" / "results" / "export_sizes.json"
  text = (ROOT / "docs" / "export.md").read_text()
  for row in artifacts.read_json(path)["rows"]:
    cells = [row["network"], row["blocks"]]
    cells += [f"{row['weights']:,}", f"{row['folder']:,}"]
    cells.append(f"{row['ratio']:.3f}")
    (line,) = (x for x in text.splitlines() if x.startswith(f"| {cells[0]} "))
    assert [cell.strip() for cell in line.split("|")[1:-1]] == list(
        map(str, cells)
    )
