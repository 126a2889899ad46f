"""Tests of `export.timing.export_times`."""

import numpy as np
import pytest

from export.timing import export_times
from export.timing import whole_times
from file_io import artifacts

IMAGES = np.zeros((4, 2, 2, 1), np.float32)


def _export(folder, *rows):
  variants = [
      {
          **{"gating": "fixed", "quantization": "none", "format": format},
          **{"path": path, "threshold": threshold},
      }
      for format, path, threshold in rows
  ]
  artifacts.write_json(
      folder / "export.json", {"strategy": "map", "variants": variants}
  )
  return folder


@pytest.fixture(name="calls", autouse=True)
def _calls(monkeypatch):
  """Calls of `ratios`, which are answered by the lengths of paths."""
  calls = []

  def ratios(paths, images, **options):
    assert images is IMAGES
    calls.append(({k: str(v) for k, v in paths.items()}, options))
    return {name: len(str(path)) for name, path in paths.items()}

  monkeypatch.setattr(whole_times, "ratios", ratios)
  return calls


@pytest.fixture(name="folders")
def _folders(tmp_path):
  for name in ("plain", "gated"):
    (tmp_path / name).mkdir()
  plain = _export(
      tmp_path / "plain",
      ("saved_model", "m/1", None),
      ("tflite", "m.tflite", None),
  )
  gated = _export(
      tmp_path / "gated",
      ("saved_model", "m/1", 0.5),
      ("tflite", "m_auto.tflite", 0.5),
  )
  return [plain, gated]


def test_files_of_a_format_are_timed_together(folders, calls):
  rows = export_times.measure(folders, IMAGES, [1, 8])
  plain, gated = map(str, folders)
  assert [(paths, o["format"], o["batch_size"]) for paths, o in calls] == [
      ({0: f"{plain}/m/1", 1: f"{gated}/m/1"}, "saved_model", 1),
      ({0: f"{plain}/m/1", 1: f"{gated}/m/1"}, "saved_model", 8),
      ({0: f"{plain}/m.tflite", 1: f"{gated}/m_auto.tflite"}, "tflite", 1),
  ]
  assert {o["threshold"] for _, o in calls} == {0.5}
  assert {o["reference"] for _, o in calls} == {0}
  assert [(r["export"], r["path"], [*r["time_ratios"]]) for r in rows] == [
      (plain, "m/1", ["1", "8"]),
      (gated, "m/1", ["1", "8"]),
      (plain, "m.tflite", ["1"]),
      (gated, "m_auto.tflite", ["1"]),
  ]
  assert rows[3]["time_ratios"]["1"] == len(f"{gated}/m_auto.tflite")


def test_first_export_has_each_format(folders):
  _export(folders[0], ("saved_model", "m/1", None))
  with pytest.raises(ValueError, match="plain has no tflite, which others"):
    export_times.measure(folders, IMAGES, [1])


def test_thresholds_that_differ_are_refused(folders):
  _export(folders[0], ("saved_model", "m/1", 0.4), ("tflite", "m.tflite", None))
  with pytest.raises(ValueError, match=r"thresholds: \[0.4, 0.5\]"):
    export_times.measure(folders, IMAGES, [1])


def test_folder_without_an_export_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="export.json"):
    export_times.measure([tmp_path], IMAGES, [1])
