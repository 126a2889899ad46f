"""Fixtures that several test files share, and TensorFlow as tests need it."""

import functools
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
  """A folder in which our own data sets are prepared, once a session.

  They are opened and decoded once, too, whatever program of this process asks.
  """
  path = tmp_path_factory.mktemp("data")
  open_dataset = image_data.open_dataset
  opened = functools.cache(functools.partial(open_dataset, data_dir=path))
  names = ("digits", "cluttered_digits")
  opened("digits")  # The other, by the first who asks.

  def find_or_open(name, *, data_dir, **options):
    if name in names and str(data_dir) == str(path):
      return opened(name, **options)
    return open_dataset(name, data_dir=data_dir, **options)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(image_data, "open_dataset", find_or_open)
    yield path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, data_dir):
  """The folder of a finished run of `training_runs.TINY`; not to be changed."""
  path = tmp_path_factory.mktemp("tiny_run")
  arguments = (*training_runs.TINY, f"--data_dir={data_dir}")
  with training_runs.eagerly():
    training.run(training_runs.config(*arguments), path)
  return path


@pytest.fixture(scope="module")
def eagerly():
  """All functions of a test file run eagerly."""
  with training_runs.eagerly():
    yield


@pytest.fixture
def traced(eagerly):
  """A test of a file that runs `eagerly` traces its functions all the same."""
  tf.config.run_functions_eagerly(False)
  yield
  tf.config.run_functions_eagerly(True)


@pytest.fixture
def heeds_signals():
  """SIGHUP and SIGINT are heeded, whoever has begun the tests.

  `nohup` ignores the one, and a shell's `&` the other.
  """
  heeded = {
      signal.SIGHUP: signal.SIG_DFL,
      signal.SIGINT: signal.default_int_handler,
  }
  before = {
      number: signal.signal(number, how) for number, how in heeded.items()
  }
  yield
  for number, how in before.items():
    signal.signal(number, how)
