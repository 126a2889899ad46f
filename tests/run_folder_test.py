"""Tests of `trainers.run_folder`; of its batches: evaluate_test.py."""

import shutil

import pytest

from file_io import artifacts
from trainers import run_folder


@pytest.mark.parametrize(
    ("times", "expected"), [([None, 3.0, 2.0, 4.0], 2.0), ([None], None)]
)
def test_time_of_a_step_is_that_of_the_fastest_epoch(times, expected):
  history = [{"seconds_per_step": time} for time in times]
  assert run_folder.seconds_per_step(history) == expected


def test_data_of_a_run_are_opened_where_they_were_or_are_now(
    tiny_run, tmp_path
):
  shutil.copy(tiny_run / "config.json", tmp_path / "config.json")
  settings, dataset = run_folder.open_data(tmp_path)
  assert settings["dataset"] == dataset.name == "digits"
  value = artifacts.read_json(tmp_path / "config.json")
  value["settings"]["data_dir"] = str(tmp_path / "moved")
  del value["data"]  # As of an older run.
  artifacts.write_json(tmp_path / "config.json", value)
  _, same = run_folder.open_data(tmp_path, settings["data_dir"])
  assert same.num_examples("train") == dataset.num_examples("train")
  assert not (tmp_path / "moved").exists()


def test_data_of_other_classes_are_refused(tiny_run, tmp_path):
  value = artifacts.read_json(tiny_run / "config.json")
  value["data"]["classes"].pop()
  artifacts.write_json(tmp_path / "config.json", value)
  with pytest.raises(ValueError, match="9 then, 10 now"):
    run_folder.open_data(tmp_path)
