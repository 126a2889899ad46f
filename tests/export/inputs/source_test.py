"""Tests of `export.inputs.source`."""

import dataclasses
import importlib
import sys

import keras
import numpy as np
import pytest

from export.inputs import source as source_lib
from file_io import artifacts
import pgates
from tests.helpers import gated_networks
from tests.helpers import training_runs

SIDE = 12  # To which the run resized the digits, of 8 x 8 pixels.

OWN_LAYER = """
import keras

@keras.saving.register_keras_serializable(package="tests")
class Doubled(keras.layers.ReLU):
  def call(self, inputs):
    return 2 * super().call(inputs)
"""


def _network(shape=(SIDE, SIDE, 1), own=(), classes=10):
  """A network of one gate; `own` are layers before it."""
  images = x = keras.Input(shape, name="images")
  for layer in own:
    x = layer(x)
  x = keras.layers.Conv2D(4, 3)(x)
  branch = keras.Sequential([keras.layers.Conv2D(4, 3, padding="same")])
  block = pgates.GatedResidual(branch, gate=pgates.DataDependentGate())
  x, gate, logit = block(x)
  logits = keras.layers.Dense(classes)(keras.layers.GlobalMaxPooling2D()(x))
  outputs = pgates.gated_outputs(logits, [gate], [logit])
  return gated_networks.randomize(pgates.GatedModel(images, outputs))


def _write_run(folder, data_dir, model, *arguments):
  """Writes what a run leaves behind, untrained."""
  config = training_runs.config(
      *("--dataset=digits", f"--data_dir={data_dir}", *arguments)
  )
  artifacts.write_json(
      folder / "config.json", {"settings": dataclasses.asdict(config)}
  )
  model.save(folder / "model.keras")


@pytest.fixture(scope="module")
def model():
  return _network()


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, data_dir, model):
  folder = tmp_path_factory.mktemp("run")
  _write_run(folder, data_dir, model, f"--image_size={SIDE}")
  return folder


@pytest.fixture(scope="module")
def source(workdir):
  return source_lib.open_source(workdir=str(workdir))


def _logits(model):
  images = gated_networks.images(3, (SIDE, SIDE, 1))
  return model.predict_on_batch(images)["logits"]


def test_run_says_what_its_network_and_its_data_are(source, model):
  assert isinstance(source.model, pgates.GatedModel)
  np.testing.assert_allclose(_logits(source.model), _logits(model), rtol=1e-6)
  assert source.dataset.name == "digits"
  assert source.image_size == SIDE


def test_data_of_the_run_may_be_replaced(tmp_path, data_dir, model):
  elsewhere = tmp_path / "elsewhere"
  of_other = ("--dataset=cluttered_digits", f"--image_size={SIDE}")
  _write_run(tmp_path, elsewhere, model, *of_other)
  opened = source_lib.open_source(
      workdir=tmp_path, dataset="digits", data_dir=data_dir
  )
  assert opened.dataset.name == "digits"
  assert opened.image_size == SIDE
  assert not elsewhere.exists()


def test_file_is_opened_with_the_data_named(workdir, data_dir, model):
  opened = source_lib.open_source(
      model=str(workdir / "model.keras"), dataset="digits", data_dir=data_dir
  )
  np.testing.assert_allclose(_logits(opened.model), _logits(model), rtol=1e-6)
  assert opened.dataset.name == "digits"
  assert opened.image_size is None
  resized = source_lib.open_source(
      model=str(workdir / "model.keras"),
      dataset="digits",
      data_dir=data_dir,
      image_size=SIDE,
  )
  assert resized.image_size == SIDE


def test_networks_of_mixed_precision_are_opened_in_float32(tmp_path, data_dir):
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    _network().save(tmp_path / "half.keras")
  finally:
    keras.config.set_dtype_policy("float32")
  opened = source_lib.open_source(
      model=tmp_path / "half.keras", dataset="digits", data_dir=data_dir
  )
  assert {layer.compute_dtype for layer in opened.model.layers} == {"float32"}


def test_home_may_be_written_as_a_tilde(workdir, data_dir, monkeypatch):
  monkeypatch.setenv("HOME", str(workdir.parent))
  folder = f"~/{workdir.name}"
  assert source_lib.open_source(workdir=folder).image_size == SIDE
  source_lib.open_source(
      model=f"{folder}/model.keras", dataset="digits", data_dir=data_dir
  )


def test_modules_of_custom_layers_are_imported_first(
    tmp_path, data_dir, monkeypatch
):
  (tmp_path / "own_layers.py").write_text(OWN_LAYER)
  monkeypatch.syspath_prepend(tmp_path)
  own_layers = importlib.import_module("own_layers")
  model = _network(own=[own_layers.Doubled()])
  model.save(tmp_path / "own.keras")
  # As in a process that has not imported it.
  del keras.saving.get_custom_objects()["tests>Doubled"]
  monkeypatch.delitem(sys.modules, "own_layers")
  arguments = {
      "model": tmp_path / "own.keras",
      "dataset": "digits",
      "data_dir": data_dir,
  }
  message = "(?s)own.keras cannot be loaded: .*'Doubled'"
  with pytest.raises(ValueError, match=message):
    source_lib.open_source(**arguments)
  opened = source_lib.open_source(**arguments, import_modules=["own_layers"])
  np.testing.assert_allclose(_logits(opened.model), _logits(model), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give --workdir or --model.*workdir=None, model=None"),
        ({"workdir": "a", "model": "b"}, "one of them.*workdir=a, model=b"),
        ({"model": ""}, "Give --workdir or --model"),
        ({"model": "model.keras"}, "needs --dataset and --data_dir"),
        ({"model": "model.keras", "dataset": "digits"}, "needs --dataset and"),
        (
            {"model": "model.keras", "dataset": "digits", "image_folder": "x"},
            "--dataset or --image_folder, not both",
        ),
        (
            {"model": "model.keras", "image_folder": "x", "data_dir": "y"},
            "Received for image_folder:/.*/x, which needs none",
        ),
        ({"model": "model.keras", "data_dir": "x"}, "needs --dataset and"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    workdir, monkeypatch, arguments, message
):
  monkeypatch.chdir(workdir)
  with pytest.raises(ValueError, match=message):
    source_lib.open_source(**arguments)


@pytest.mark.parametrize("name", ["workdir", "model"])
def test_network_that_is_not_there_is_named(tmp_path, name):
  path = tmp_path / "nothing"
  with pytest.raises(FileNotFoundError, match=f"There is no {path}"):
    source_lib.open_source(**{name: path})


def _two_inputs():
  images, mask = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
  x, gate, logit = pgates.GatedResidual(
      keras.Sequential([keras.layers.Conv2D(1, 3, padding="same")]),
      gate=pgates.DataDependentGate(),
  )(images * mask)
  outputs = pgates.gated_outputs(
      keras.layers.GlobalMaxPooling2D()(x), [gate], [logit]
  )
  return pgates.GatedModel([images, mask], outputs)


def _flat():
  features = keras.Input((8,))
  x, gate, logit = pgates.GatedResidual(
      keras.Sequential([keras.layers.Dense(8)]), gate=pgates.DataDependentGate()
  )(features)
  return pgates.GatedModel(features, pgates.gated_outputs(x, [gate], [logit]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: keras.Sequential([keras.Input((8,)), keras.layers.ReLU()]),
            "holds a Sequential, and no pgates.GatedModel",
        ),
        (lambda: _network((None, None, 1)), r"fixed size.*\(None, None, None"),
        (_two_inputs, r"one input.*8, 8, 1\), \(None, 8, 8, 1"),
        (lambda: _network(classes=7), "has 7 classes; digits has 10"),
        (_flat, r"one input \[batch, height.*\(None, 8\)"),
    ],
)
def test_networks_that_cannot_be_exported_are_refused(
    tmp_path, data_dir, make, message
):
  make().save(tmp_path / "own.keras")
  with pytest.raises(ValueError, match=message):
    source_lib.open_source(
        model=tmp_path / "own.keras", dataset="digits", data_dir=data_dir
    )
