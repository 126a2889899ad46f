"""Reads what a run's folder says of its settings and of its data."""

from collections.abc import Iterable
import dataclasses
import importlib
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


@dataclasses.dataclass(frozen=True)
class Place:
  """Where the data of a run are now; None where they were.

  Args:
    data_dir: the data sets of TFDS.
    image_folder: the images of a run on a folder of images.
  """

  data_dir: str | os.PathLike | None = None
  image_folder: str | os.PathLike | None = None


WHERE_IT_WAS = Place()


def read_settings(workdir: str | os.PathLike) -> dict[str, Any]:
  """The settings of a run, a dict; empty where there is no run yet."""
  return _read(workdir).get("settings", {})


def rules(settings: dict[str, Any]) -> dict[str, Any]:
  """How a run of these settings splits and decodes images.

  Args:
    settings: of the run; of none, there are the defaults. Runs from before
      there was `exif_orientation` took images as they are stored.

  Returns:
    Arguments of `image_data.open_dataset`.
  """
  if not settings:
    return {}
  defaults = image_data.SplitShares
  return {
      "decoding_rules": image_data.DecodingRules(
          exif_orientation=settings.get("exif_orientation", False),
          max_pixels=settings.get(
              "max_image_pixels", image_data.DecodingRules.max_pixels
          ),
      ),
      "shares": image_data.SplitShares(
          settings.get("validation_share", defaults.validation),
          settings.get("test_share", defaults.test),
      ),
  }


def import_modules(names: Iterable[str]) -> None:
  """Imports what registers the layers of a network of others.

  Args:
    names: of modules, which Python finds.

  Raises:
    ImportError: names the flag and the module.
  """
  for name in names:
    try:
      importlib.import_module(name)
    except ImportError as error:
      raise ImportError(
          f"--import_modules={name}: {error}. Python looks in this folder, "
          "among what is installed, and in PYTHONPATH."
      ) from error


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


def check_to_read(
    workdir: str | os.PathLike, dataset: trained_data.Dataset
) -> None:
  """Refuses data of other classes than a run was trained on.

  Args:
    workdir: of the run.
    dataset: that its network is to be used on.

  Raises:
    ValueError: names what differs.
  """
  trained_data.check_to_read(_read(workdir).get("data"), dataset)


def open_data(
    workdir: str | os.PathLike, place: Place = WHERE_IT_WAS
) -> tuple[dict[str, Any], trained_data.Dataset]:
  """Opens the data set that a run was trained on.

  Args:
    workdir: of the run.
    place: where the data set is now.

  Returns:
    The run's settings, and the data set.

  Raises:
    FileNotFoundError: if the data set is not there.
    ValueError: if it has other classes now, or the place is one of data of
      another kind.
  """
  run = _read(workdir)
  settings = run["settings"]
  dataset = image_data.open_dataset(
      _name_now(settings["dataset"], place, workdir),
      data_dir=place.data_dir or settings["data_dir"],
      **rules(settings),
  )
  trained_data.check_to_read(run.get("data"), dataset)
  return settings, dataset


def check_data_dir(name: str, data_dir: str | os.PathLike | None) -> None:
  """Refuses a `--data_dir` that is given for a folder of images.

  Args:
    name: of the data set.
    data_dir: None if none was given.

  Raises:
    ValueError: if it means nothing.
  """
  if data_dir is not None and name.startswith(image_data.FOLDER_PREFIX):
    raise ValueError(
        "--data_dir is where TensorFlow Datasets has its data sets. Received "
        f"for {name}, which needs none: leave it out. Of a run on the images "
        f"in {name.removeprefix(image_data.FOLDER_PREFIX)}: --image_folder "
        "says where they are now."
    )


def _name_now(name, place, workdir):
  is_folder = name.startswith(image_data.FOLDER_PREFIX)
  if place.image_folder is not None and not is_folder:
    raise ValueError(
        "--image_folder is for runs on a folder of images. Received for "
        f"{workdir}, a run on {name}; --data_dir says where that is."
    )
  check_data_dir(name, place.data_dir)
  if place.image_folder is None:
    return name
  return f"{image_data.FOLDER_PREFIX}{os.fspath(place.image_folder)}"


def _read(workdir):
  path = pathlib.Path(workdir).expanduser() / "config.json"
  if not path.exists():
    return {}
  run = artifacts.read_json(path, _RUN, writer="trainers.train")
  if run.get("data") is not None:  # Older runs do not say.
    artifacts.check_shape(run, _DATA, path, writer="trainers.train")
  return run
