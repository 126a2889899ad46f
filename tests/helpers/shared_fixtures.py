"""Fixtures that several test files share, and TensorFlow as tests need it."""

import signal

import pytest
import tensorflow as tf

import image_data
from tests.helpers import training_runs
from trainers.training import training

# Replicas to test distribution with; only before TensorFlow's first operation.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration() for _ in range(4)],
)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
  """A folder in which our own data sets are prepared, once a session."""
  path = tmp_path_factory.mktemp("data")
  for name in ("digits", "cluttered_digits"):
    image_data.open_dataset(name, data_dir=path)
  return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, data_dir):
  """The folder of a finished run of `training_runs.TINY`; not to be changed."""
  path = tmp_path_factory.mktemp("tiny_run")
  arguments = (*training_runs.TINY, f"--data_dir={data_dir}")
  training.run(training_runs.config(*arguments), path)
  return path


@pytest.fixture
def heeds_hangup():
  """SIGHUP is heeded, whoever has begun the tests (`nohup` ignores it)."""
  previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
  yield
  signal.signal(signal.SIGHUP, previous)
