"""Reads what a run's folder says of its settings and of its data."""

import os
import pathlib
from typing import Any

from file_io import artifacts
import image_data
from run_data import trained_data

# What is relied on; the rest of the settings is held against flags.
_RUN = {"settings": {"dataset": str, "data_dir": str}}
_DATA = {
    "data": {
        "version": str,
        "examples": {split: int for split in image_data.SPLITS},
        "classes": [str],
    }
}


def read_settings(workdir: str | os.PathLike) -> dict[str, Any]:
  """The settings of a run, a dict; empty where there is no run yet."""
  return _read(workdir).get("settings", {})


def check_to_continue(
    workdir: str | os.PathLike, dataset: trained_data.Dataset
) -> None:
  """Refuses data that differ at all from those of the run so far.

  Args:
    workdir: of the run, maybe not begun.
    dataset: to go on with.

  Raises:
    ValueError: names what differs.
  """
  trained_data.check_to_continue(_read(workdir).get("data"), dataset)


def open_data(
    workdir: str | os.PathLike, *, data_dir: str | os.PathLike | None = None
) -> tuple[dict[str, Any], trained_data.Dataset]:
  """Opens the data set that a run was trained on.

  Args:
    workdir: of the run.
    data_dir: where the data set is; None for where it was.

  Returns:
    The run's settings, and the data set.

  Raises:
    FileNotFoundError: if the data set is not there.
    ValueError: if it has other classes now.
  """
  run = _read(workdir)
  settings = run["settings"]
  dataset = image_data.open_dataset(
      settings["dataset"], data_dir=data_dir or settings["data_dir"]
  )
  trained_data.check_to_read(run.get("data"), dataset)
  return settings, dataset


def _read(workdir):
  path = pathlib.Path(workdir).expanduser() / "config.json"
  if not path.exists():
    return {}
  run = artifacts.read_json(path, _RUN, writer="trainers.train")
  if run.get("data") is not None:  # Older runs do not say.
    artifacts.check_shape(run, _DATA, path, writer="trainers.train")
  return run
