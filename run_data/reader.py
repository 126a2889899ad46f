"""Reads what a run's folder says of its settings and of its data."""

import pathlib

from file_io import artifacts
import image_data
from run_data import trained_data


def read_settings(workdir):
  """The settings of a run, a dict; empty where there is no run yet."""
  return _read(workdir).get("settings", {})


def check_to_continue(workdir, dataset):
  """Refuses data that differ at all from those of the run so far.

  Args:
    workdir: of the run, maybe not begun.
    dataset: an `image_data.ImageDataset`.

  Raises:
    ValueError: names what differs.
  """
  trained_data.check_to_continue(_read(workdir).get("data"), dataset)


def open_data(workdir, *, data_dir=None):
  """Opens the data set that a run was trained on.

  Args:
    workdir: of the run.
    data_dir: where the data set is; None for where it was.

  Returns:
    The run's settings, and an `image_data.ImageDataset`.

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
  return artifacts.read_json(path) if path.exists() else {}
