"""Tests of `run_data.reader`."""

import shutil

import pytest

from export.inputs import source as source_lib
from file_io import artifacts
import image_data
from run_data import reader


def test_data_of_a_run_are_opened_where_they_were_or_are_now(
    tiny_run, tmp_path
):
  shutil.copy(tiny_run / "config.json", tmp_path / "config.json")
  settings, dataset = reader.open_data(tmp_path)
  assert settings["dataset"] == dataset.name == "digits"
  value = artifacts.read_json(tmp_path / "config.json")
  value["settings"]["data_dir"] = str(tmp_path / "moved")
  del value["data"]  # As of an older run.
  artifacts.write_json(tmp_path / "config.json", value)
  _, same = reader.open_data(tmp_path, data_dir=settings["data_dir"])
  assert same.num_examples("train") == dataset.num_examples("train")
  assert not (tmp_path / "moved").exists()


def test_data_of_other_classes_are_refused(tiny_run, tmp_path):
  value = artifacts.read_json(tiny_run / "config.json")
  value["data"]["classes"].pop()
  artifacts.write_json(tmp_path / "config.json", value)
  with pytest.raises(ValueError, match="9 then, 10 now"):
    reader.open_data(tmp_path)


def test_folder_without_a_run_has_no_settings(tmp_path):
  assert reader.read_settings(tmp_path) == {}
  reader.check_to_continue(tmp_path, image_data.ImageFolder)


@pytest.mark.parametrize("change", ["renamed", "reordered"])
def test_export_of_a_run_whose_classes_changed_is_refused(
    change, tiny_run, tmp_path
):
  """It would have written wrong labels."""
  shutil.copytree(tiny_run, tmp_path / "run")
  path = tmp_path / "run" / "config.json"
  value = artifacts.read_json(path)
  classes = value["data"]["classes"]
  classes[3:5] = ["drei", "4"] if change == "renamed" else ["4", "3"]
  artifacts.write_json(path, value)
  message = "gone: drei; new: 3"
  if change == "reordered":
    message = r"classes: in another order \(4, 3\)"
  with pytest.raises(ValueError, match=message):
    source_lib.open_source(workdir=tmp_path / "run")
  # Named, the data are the user's choice.
  other = source_lib.open_source(
      workdir=tmp_path / "run", dataset="cluttered_digits", image_size=8
  )
  assert other.dataset.name == "cluttered_digits"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "it is null, and not an object"),
        ({"settings": []}, r"settings is \[\], and not an object"),
        ({"settings": {"dataset": "digits"}}, "settings.data_dir is missing"),
        ({"data": []}, r"data is \[\], and not an object"),
        ({"data": {"version": "1"}}, "data.examples is missing"),
    ],
)
def test_config_of_another_shape_is_named_by_all_that_read_it(
    tmp_path, change, message
):
  whole = {"settings": {"dataset": "digits", "data_dir": "unused"}}
  path = tmp_path / "config.json"
  artifacts.write_json(path, change and {**whole, **change})
  (tmp_path / "model.keras").touch()
  message = f"{path} is no file of trainers.train: {message}"
  for read in (
      reader.read_settings,
      reader.open_data,
      lambda folder: reader.check_to_continue(folder, image_data.ImageFolder),
      lambda folder: source_lib.open_source(workdir=folder),
  ):
    with pytest.raises(ValueError, match=message):
      read(tmp_path)
