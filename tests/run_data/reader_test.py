"""Tests of `run_data.reader`."""

import shutil

import pytest

from export.inputs import source as source_lib
from file_io import artifacts
import image_data
from run_data import reader
from run_data import trained_data


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
  place = reader.Place(data_dir=settings["data_dir"])
  _, same = reader.open_data(tmp_path, place)
  assert same.num_examples("train") == dataset.num_examples("train")
  assert not (tmp_path / "moved").exists()


def _run_on_a_folder(tiny_run, workdir, images):
  """A run's config.json, as if trained on a folder of two classes."""
  for split in ("train", "validation", "test"):
    for name in ("ant", "bee"):
      folder = images / split / name
      folder.mkdir(parents=True)
      (folder / "0.png").write_text(split)
  dataset = image_data.ImageFolder(images)
  value = artifacts.read_json(tiny_run / "config.json")
  value["settings"]["dataset"] = f"image_folder:{images}"
  value["data"] = trained_data.describe(dataset)
  artifacts.write_json(workdir / "config.json", value)


def test_images_of_a_run_may_have_moved(tiny_run, tmp_path, caplog):
  _run_on_a_folder(tiny_run, tmp_path, tmp_path / "before")
  (tmp_path / "before").rename(tmp_path / "now")
  with pytest.raises(FileNotFoundError, match="There is no folder .*before"):
    reader.open_data(tmp_path)
  place = reader.Place(image_folder=tmp_path / "now")
  _, dataset = reader.open_data(tmp_path, place)
  assert dataset.files("test")[0][0].startswith(str(tmp_path / "now" / "test"))
  assert not caplog.records
  (tmp_path / "now" / "train" / "bee" / "0.png").rename(
      tmp_path / "now" / "train" / "bee" / "1.png"
  )
  reader.open_data(tmp_path, place)
  assert "has changed since the run was trained" in caplog.text
  (tmp_path / "now" / "train" / "bee").rename(
      tmp_path / "now" / "train" / "cow"
  )
  (tmp_path / "now" / "test" / "bee").rename(tmp_path / "now" / "test" / "cow")
  (tmp_path / "now" / "validation" / "bee" / "0.png").unlink()
  (tmp_path / "now" / "validation" / "bee").rmdir()
  with pytest.raises(ValueError, match="gone: bee; new: cow"):
    reader.open_data(tmp_path, place)


def test_place_of_data_of_another_kind_is_refused(tiny_run, tmp_path):
  shutil.copy(tiny_run / "config.json", tmp_path / "config.json")
  with pytest.raises(ValueError, match="a run on digits; --data_dir says"):
    reader.open_data(tmp_path, reader.Place(image_folder=tmp_path))
  _run_on_a_folder(tiny_run, tmp_path, tmp_path / "images")
  with pytest.raises(ValueError, match="images in .*images: --image_folder"):
    reader.open_data(tmp_path, reader.Place(data_dir=tmp_path))


@pytest.mark.parametrize("chosen", [True, False, None])
def test_images_are_decoded_as_they_were(tiny_run, tmp_path, chosen):
  value = artifacts.read_json(tiny_run / "config.json")
  assert value["settings"].pop("exif_orientation") is True
  if chosen is not None:  # Runs of before took images as they are stored.
    value["settings"]["exif_orientation"] = chosen
  artifacts.write_json(tmp_path / "config.json", value)
  _, dataset = reader.open_data(tmp_path)
  assert dataset.decoding_rules.exif_orientation == bool(chosen)


def test_data_of_other_classes_are_refused(tiny_run, tmp_path):
  value = artifacts.read_json(tiny_run / "config.json")
  value["data"]["classes"].pop()
  artifacts.write_json(tmp_path / "config.json", value)
  with pytest.raises(ValueError, match="9 then, 10 now"):
    reader.open_data(tmp_path)


def test_folder_without_a_run_has_no_settings(tmp_path):
  assert reader.read_settings(tmp_path) == {}
  reader.check_to_continue(tmp_path, image_data.ImageFolder)


def _with_other_classes(run, folder, change):
  shutil.copytree(run, folder)
  value = artifacts.read_json(folder / "config.json")
  classes = value["data"]["classes"]
  classes[3:5] = ["drei", "4"] if change == "renamed" else ["4", "3"]
  artifacts.write_json(folder / "config.json", value)
  return folder


@pytest.mark.parametrize("change", ["renamed", "reordered"])
def test_export_of_a_run_whose_classes_changed_is_refused(
    change, tiny_run, tmp_path
):
  """It would have written wrong labels."""
  workdir = _with_other_classes(tiny_run, tmp_path / "run", change)
  message = "gone: drei; new: 3"
  if change == "reordered":
    message = r"classes: in another order \(4, 3\)"
  with pytest.raises(ValueError, match=message):
    source_lib.open_source(workdir=workdir)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["renamed", "reordered"])
def test_data_that_are_named_are_the_users_choice(change, tiny_run, tmp_path):
  other = source_lib.open_source(
      workdir=_with_other_classes(tiny_run, tmp_path / "run", change),
      dataset="cluttered_digits",
      image_size=8,
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
