"""Tests of exports of two networks, one of which is asked first."""

import dataclasses

import keras
import numpy as np
import pytest
from sklearn import datasets
import tensorflow as tf

from export import run
from file_io import artifacts
import pgates
from tests.helpers import training_runs


def _write_run(folder, data_dir, filters, *, classes=None, gate=None):
  """What a run on `digits` leaves, of a network without gates."""
  config = training_runs.config("--dataset=digits", f"--data_dir={data_dir}")
  settings = {"settings": dataclasses.asdict(config)}
  if classes is not None:
    examples = dict.fromkeys(("train", "validation", "test"), 1)
    settings["data"] = {
        "version": "1.0.0",
        "examples": examples,
        "classes": classes,
    }
  artifacts.write_json(folder / "config.json", settings)
  keras.utils.set_random_seed(filters)
  images = keras.Input((8, 8, 1), name="images")
  x = keras.layers.Rescaling(1 / 255)(images)
  x = keras.layers.Conv2D(filters, 3, activation="relu")(x)
  branch = keras.Sequential([keras.layers.Conv2D(filters, 3, padding="same")])
  x, *decision = pgates.GatedResidual(branch, gate=gate)(x)
  # Some answers are to be sure, and some not.
  dense = keras.layers.Dense(
      10, kernel_initializer=keras.initializers.RandomNormal(stddev=3.0)
  )
  logits = dense(keras.layers.GlobalMaxPooling2D()(x))
  outputs = pgates.gated_outputs(logits, *[[each] for each in decision])
  model = pgates.GatedModel(images, outputs)
  model.save(folder / "model.keras")
  return model


@pytest.fixture(name="runs", scope="module")
def _runs(tmp_path_factory, data_dir):
  folders = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
  models = [
      _write_run(folder, data_dir, filters)
      for folder, filters in zip(folders, (4, 8), strict=True)
  ]
  # The first guesses; the second has learned something.
  inputs, labels = datasets.load_digits(return_X_y=True)
  models[1].compile(keras.optimizers.Adam(0.02))
  models[1].fit(inputs.reshape(-1, 8, 8, 1) * 16, labels, epochs=10, verbose=0)
  models[1].save(folders[1] / "model.keras")
  return folders, models


def _options(folders, output_dir, **options):
  return run.Options(
      **{
          "workdir": str(folders[1]),
          "cascade_after": str(folders[0]),
          "output_dir": str(output_dir),
          "gating": ("dynamic",),
          "num_examples": 100,
          "costs": "macs",  # Nothing is timed.
          **options,
      }
  )


@pytest.fixture(name="exported", scope="module")
def _exported(runs, tmp_path_factory):
  folder = tmp_path_factory.mktemp("exported")
  run.run(
      _options(
          runs[0],
          folder,
          strategy="budget:0.6",
          format=("saved_model", "tflite"),
      )
  )
  return folder


def test_budget_is_of_both_networks(exported, runs):
  """On the validation images; on those for testing, about so."""
  macs = [pgates.count_macs(model).dense for model in runs[1]]
  for row in artifacts.read_json(exported / "export.json")["variants"]:
    assert row["dense_macs"] == sum(macs)
    assert macs[0] < row["macs"] < sum(macs)
    assert row["macs"] == pytest.approx(0.6 * sum(macs), rel=0.15)


def test_served_cascade_asks_the_second_network_of_unsure_inputs(
    exported, runs
):
  served = tf.saved_model.load(str(exported / "model" / "1"))
  images = np.random.default_rng(0).uniform(0, 255, (20, 8, 8, 1))
  images = tf.constant(images, tf.float32)
  first, second = (model(images)["logits"].numpy() for model in runs[1])
  doubts = 1 - tf.nn.softmax(first).numpy().max(axis=1)
  threshold = float(np.median(doubts))
  answer = served.signatures["serving_threshold"](
      images=images, threshold=tf.fill([20], threshold)
  )
  asked = doubts > threshold
  np.testing.assert_array_equal(answer["gates"].numpy()[:, 0], asked)
  logits = np.where(asked[:, None], (first + second) / 2, first)
  np.testing.assert_allclose(
      answer["probabilities"], tf.nn.softmax(logits), rtol=1e-3, atol=1e-5
  )


@pytest.mark.slow
def test_export_is_verified_by_the_same_flags(exported, runs):
  run.run(_options(runs[0], exported, verify_only=True))


@pytest.mark.parametrize("drop, left", [(0.0, True), (100.0, False)])
@pytest.mark.slow
def test_auto_keeps_the_second_network_if_it_pays(drop, left, runs, tmp_path):
  options = {"gating": ("auto",), "max_accuracy_drop": drop}
  run.run(_options(runs[0], tmp_path, strategy="budget:0.6", **options))
  (row,) = artifacts.read_json(tmp_path / "export.json")["variants"]
  first = pgates.count_macs(runs[1][0]).dense
  assert (row["macs"] > first) == left


def test_other_classes_are_refused(runs, data_dir, tmp_path):
  _write_run(tmp_path, data_dir, 4, classes=list("ABCDEFGHIJ"))
  options = _options([tmp_path, runs[0][1]], tmp_path / "out")
  with pytest.raises(ValueError, match="other classes than the run"):
    run.run(options)
  assert not (tmp_path / "out").exists()


def test_gated_networks_are_refused(runs, data_dir, tmp_path):
  gate = pgates.DataDependentGate()
  _write_run(tmp_path, data_dir, 4, gate=gate)
  with pytest.raises(ValueError, match="no gates of its own"):
    run.run(_options([tmp_path, runs[0][1]], tmp_path / "out"))
