"""Tests of `trainers.training.input_scaling`."""

import keras
import numpy as np
import pytest

import image_data
from tests.helpers import training_runs
from trainers.training import input_scaling

_TRAINED_ON = 255.0  # What pixels are divided by.


@pytest.fixture(name="dataset", scope="module")
def _dataset(data_dir):
  return image_data.open_dataset("digits", data_dir=data_dir)


@pytest.fixture(name="path", scope="module")
def _path(dataset, tmp_path_factory):
  """A network that knows digits in 0..1, and nothing of other scalings."""
  images, labels = (np.asarray(x) for x in dataset.arrays("train"))
  inputs = keras.Input((8, 8, 1))
  x = keras.layers.Dense(10)(keras.layers.Flatten()(inputs))
  network = keras.Model(inputs, keras.layers.Softmax()(x))
  scaled = images.reshape(len(images), -1) / _TRAINED_ON
  wanted = np.eye(10)[labels] - 0.1
  ones = np.ones((len(images), 1))
  solution, *_ = np.linalg.lstsq(np.hstack([scaled, ones]), wanted, rcond=None)
  network.layers[2].set_weights([solution[:-1], solution[-1]])
  path = tmp_path_factory.mktemp("n") / "digits.keras"
  network.save(path)
  return str(path)


def _check(path, dataset, *arguments):
  config = training_runs.config(
      f"--network=file:{path}", "--dataset=digits", *arguments
  )
  input_scaling.check(config, dataset)


def _accuracy(path, dataset, scale):
  network = keras.models.load_model(path)
  images, labels = (np.asarray(x) for x in dataset.arrays("validation"))
  answers = network.predict_on_batch(scale(images.astype(np.float32)))
  return np.mean(answers.argmax(axis=-1) == labels)


def test_the_right_scaling_passes_and_its_accuracy_is_told(
    path, dataset, capsys
):
  _check(path, dataset, "--input_scaling=unit")
  told = capsys.readouterr().out
  accuracy = _accuracy(path, dataset, lambda x: x / 255)
  assert accuracy > 0.85
  assert f"right on {100 * accuracy:.1f} % of 300 validation images" in told
  assert "gives probabilities" in told


@pytest.mark.parametrize(
    "arguments, received",
    [
        (["--input_scaling=tf"], "--input_scaling=tf"),
        ([], "no --input_scaling"),
    ],
)
def test_a_scaling_that_is_far_from_the_best_is_refused(
    arguments, received, path, dataset
):
  wrong = _accuracy(path, dataset, lambda x: x / 127.5 - 1)
  with pytest.raises(ValueError) as error:
    _check(path, dataset, *arguments)
  message = str(error.value)
  assert f"tf {100 * wrong:.1f} %" in message
  assert f"Received: {received}, of which" in message
  assert "--input_scaling=unit: give that" in message


def test_a_scaling_that_is_better_by_chance_alone_refuses_nothing():
  best = np.arange(100) < 60
  assert not input_scaling._is_far(best, best)
  # 6 of 100 are more than a twentieth, and may be chance.
  assert not input_scaling._is_far(best, np.arange(100) < 54)
  assert input_scaling._is_far(best, np.arange(100) < 50)
  # 4 % of many are no chance, but not far.
  best = np.arange(10_000) < 6000
  assert not input_scaling._is_far(best, np.arange(10_000) < 5600)
  assert input_scaling._is_far(best, np.arange(10_000) < 5400)


def test_networks_that_know_no_classes_yet_are_not_asked(path, dataset):
  _check(path, dataset, "--input_scaling=tf", "--new_head")
  input_scaling.check(training_runs.config("--network=resnet18"), dataset)


def test_images_that_do_not_fit_are_named(path, dataset):
  with pytest.raises(ValueError, match=r"takes images .*\(9, 9, 1\). Give its"):
    _check(path, dataset, "--input_scaling=unit", "--image_size=9")
