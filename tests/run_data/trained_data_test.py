"""Tests of `run_data.trained_data`."""

import copy
import logging

import pytest

import image_data
from run_data import trained_data


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
  for name in ("train/ant", "train/bee", "test/bee"):
    (tmp_path / name).mkdir(parents=True)
    for i in range(12):
      (tmp_path / name / f"{i}.jpg").write_text(name)
  return tmp_path


@pytest.fixture(name="recorded")
def fixture_recorded(folder):
  found = trained_data.describe(image_data.ImageFolder(folder))
  assert found["classes"] == ["ant", "bee"]
  assert found["examples"] == {"train": 22, "validation": 2, "test": 12}
  return found


def test_same_data_pass_wherever_they_lie(folder, recorded, tmp_path, caplog):
  moved = folder.rename(tmp_path.with_name("elsewhere"))
  dataset = image_data.ImageFolder(moved)
  trained_data.check_to_continue(recorded, dataset)
  trained_data.check_to_read(recorded, dataset)
  assert not caplog.records


def test_runs_without_a_record_pass(folder):
  dataset = image_data.ImageFolder(folder)
  trained_data.check_to_continue(None, dataset)
  trained_data.check_to_read(None, dataset)


@pytest.mark.parametrize("check", ["check_to_continue", "check_to_read"])
def test_other_classes_are_refused_and_named(folder, recorded, check):
  (folder / "train" / "ant").rename(folder / "train" / "wasp")
  with pytest.raises(
      ValueError, match=r"2 then, 2 now \(gone: ant; new: wasp\)"
  ):
    getattr(trained_data, check)(recorded, image_data.ImageFolder(folder))


def _add(folder):
  (folder / "test" / "bee" / "12.jpg").touch()


def _rename(folder):
  path = folder / "train" / "ant" / "3.jpg"
  path.rename(path.with_name("33.jpg"))


@pytest.mark.parametrize(
    ("change", "message"),
    [(_add, "test: 12 images then, 13 now"), (_rename, "version .* then, ")],
)
def test_other_images_may_be_evaluated_with_a_warning(
    folder, recorded, change, message, caplog
):
  change(folder)
  dataset = image_data.ImageFolder(folder)
  with pytest.raises(ValueError, match=f"has changed since.*{message}"):
    trained_data.check_to_continue(recorded, dataset)
  with caplog.at_level(logging.WARNING):
    trained_data.check_to_read(recorded, dataset)
  (record,) = caplog.records
  assert "may have been trained on" in record.getMessage()


def test_data_of_tfds_are_known_by_their_version(data_dir):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  recorded = trained_data.describe(dataset)
  trained_data.check_to_continue(recorded, dataset)
  other = copy.deepcopy(recorded)
  other["version"] = "0.0.1"
  with pytest.raises(ValueError, match="version 0.0.1 then, "):
    trained_data.check_to_continue(other, dataset)
