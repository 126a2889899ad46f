"""Fixtures that several test files share."""

import pytest
import tensorflow as tf

import image_data

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
