"""Tests of `trainers.acceleration.survey`."""

import pytest

import image_data
from tests.helpers import residual_networks
from trainers.acceleration import survey


@pytest.fixture(name="dataset", scope="module")
def _dataset(data_dir):
  return image_data.open_dataset("digits", data_dir=data_dir)


def _survey(network, dataset, folder, **settings):
  path = folder / "network.keras"
  network.save(path)
  settings = {
      **{"network": f"file:{path}", "new_head": False, "image_size": None},
      **{"epochs": 3, "import_modules": [], **settings},
  }
  return survey.survey(settings, dataset, num_targets=2)


def test_blocks_and_the_time_it_takes_are_told(dataset, tmp_path):
  network = residual_networks.inverted_residuals(8)
  found = _survey(network, dataset, tmp_path)
  assert "add2  identity" in found.text
  assert "2 targets of 3 epochs take about" in found.text
  # Programs alone take two minutes for each target.
  assert int(found.text.split()[-2]) >= 4
  assert found.image_size == 8


@pytest.mark.parametrize(
    "size", [12, pytest.param(None, marks=pytest.mark.slow)]
)
def test_size_that_is_given_stays(size, dataset, tmp_path):
  network = residual_networks.inverted_residuals(None)
  found = _survey(network, dataset, tmp_path, image_size=size)
  assert found.image_size == size


@pytest.mark.parametrize(
    "seconds, text", [(1, "1 min"), (600, "10 min"), (7200, "2.0 h")]
)
def test_times_are_of_a_readable_unit(seconds, text):
  assert survey._time_text(seconds) == text
