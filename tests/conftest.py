"""What is set up before the tests."""

import gc

from file_io import library_messages

# Tracing makes millions of small objects that live on: to look through them all
# at every turn takes a tenth of the time.
gc.set_threshold(200_000, 50, 100)


def pytest_configure(config):
  """Imports TensorFlow in silence, but not where others run the tests."""
  if config.getoption("numprocesses", None):
    return
  # What TensorFlow says would come after pytest's last line.
  library_messages.hide_startup()
  from tests.helpers import shared_fixtures

  config.pluginmanager.register(shared_fixtures)
