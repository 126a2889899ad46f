"""Fixtures that several test files share."""

import image_data
import pytest


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
  """A folder in which our own data sets are prepared, once a session."""
  path = tmp_path_factory.mktemp("data")
  for name in ("digits", "cluttered_digits"):
    image_data.open_dataset(name, data_dir=path)
  return path
