"""Runs of `trainers.train` that begin with a trained network in a file."""

import importlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import image_data
import pgates
from tests.helpers import residual_networks
from tests.helpers import trained_files
from tests.helpers import training_runs
from trainers.evaluation import options
from trainers.evaluation import run as evaluation_run
from trainers.training import training


@pytest.fixture(name="network", scope="module")
def _network(data_dir, tmp_path_factory):
  """A network that a script of plain Keras trained in 0..1, and its file."""
  return trained_files.save_digits(
      tmp_path_factory.mktemp("network"), data_dir, epochs=5
  )


def _train(network, data_dir, workdir, *arguments):
  config = training_runs.config(
      f"--network=file:{network[1]}",
      f"--data_dir={data_dir}",
      "--input_scaling=unit",
      *arguments,
  )
  with training_runs.eagerly():
    training.run(config, workdir)
  return pgates.load_model(workdir / "model.keras")


def test_without_epochs_it_is_kept_as_it_is(network, data_dir, tmp_path):
  model = _train(network, data_dir, tmp_path, "--gate=none", "--epochs=0")
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  images = np.asarray(dataset.arrays("test")[0], np.float32)
  np.testing.assert_allclose(
      keras.ops.softmax(model.predict(images, verbose=0)["logits"]),
      network[0].predict(images / 255, verbose=0),
      rtol=1e-3,
      atol=1e-5,
  )
  assert not (tmp_path / "history.jsonl").exists()


def test_gates_are_trained_from_where_it_was(network, data_dir, tmp_path):
  model = _train(
      *(network, data_dir, tmp_path),
      *("--epochs=1", "--batch_size=512", "--learning_rate=0.001"),
  )
  gates = [block.gate for block in pgates.gated_blocks(model)]
  assert [gate.initial_probability for gate in gates] == [0.95] * 3
  # Two small steps: near to the weights of the file, and not at them.
  theirs = network[0].get_layer("stem").kernel
  (ours,) = (v for v in model.weights if v.path.endswith("stem/kernel"))
  distance = tf.norm(ours.value - theirs) / tf.norm(theirs.value)
  assert 0 < float(distance) < 0.02


def test_wrong_scaling_ends_the_run_before_it_begins(
    network, data_dir, tmp_path
):
  with pytest.raises(ValueError, match="--input_scaling=unit: give that"):
    _train(network, data_dir, tmp_path / "run", "--input_scaling=pixels")
  assert not (tmp_path / "run" / "config.json").exists()


def test_path_in_the_settings_is_absolute(network, monkeypatch):
  monkeypatch.chdir(network[1].parent)
  config = training_runs.config("--network=file:mine.keras")
  assert config.network == f"file:{network[1]}"


def test_layers_of_ones_own_are_registered_by_their_module(
    data_dir, tmp_path, monkeypatch
):
  (tmp_path / "own_shift.py").write_text(
      "import keras\n"
      "import pgates\n"
      "@keras.saving.register_keras_serializable('own')\n"
      "class Shift(keras.layers.Layer):\n"
      "  def call(self, x):\n"
      "    return x + 0.1\n"
      "pgates.layer_macs.register(Shift)(lambda layer, shape: 0)\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  shift = importlib.import_module("own_shift").Shift
  network = residual_networks.inverted_residuals(8)
  images = keras.Input((8, 8, 1))
  own = keras.Model(images, network(shift()(images)))
  own.save(tmp_path / "own.keras")
  del keras.saving.get_custom_objects()["own>Shift"]
  monkeypatch.delitem(sys.modules, "own_shift")
  arguments = ("--gate=none", "--epochs=0", "--new_head")
  of_file = (None, tmp_path / "own.keras")
  run = tmp_path / "run"
  with pytest.raises(ValueError, match="'Shift'.*--import_modules=MODULE"):
    _train(of_file, data_dir, run, *arguments)
  with pytest.raises(ImportError, match="--import_modules=none_such: No mod"):
    _train(of_file, data_dir, run, *arguments, "--import_modules=none_such")
  _train(of_file, data_dir, run, *arguments, "--import_modules=own_shift")
  # The run remembers.
  del keras.saving.get_custom_objects()["own>Shift"]
  monkeypatch.delitem(sys.modules, "own_shift")
  found = evaluation_run.evaluate_run(
      run, options.Options(strategies=["always_open"])
  )
  assert found["examples"] == 300
