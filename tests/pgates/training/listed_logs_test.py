"""Tests of pgates/training/listed_logs.py."""

import itertools

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import parameters

IMAGES = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
LABELS = {
    "logits": np.array([0, 1, 2, 2, 1, 0]),
    "side": np.array([0, 1, 1, 0, 1, 1]),
}
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.25], np.float32)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ENTROPY = "sparse_categorical_crossentropy"
TOP = "sparse_top_k_categorical_accuracy"
BOTH = {"logits": CROSS_ENTROPY, "side": CROSS_ENTROPY}
EACH = {"logits": ["accuracy", ENTROPY], "side": [ENTROPY, "accuracy"]}


class Extremes(keras.metrics.Metric):
  """A metric of several values."""

  def __init__(self, name="extremes"):
    super().__init__(name=name)
    self.largest = self.add_variable((), "zeros", name="largest")

  def update_state(self, y_true, y_pred, sample_weight=None):
    del y_true, sample_weight
    self.largest.assign(keras.ops.max(y_pred))

  def result(self):
    return {"largest": self.largest + 0.0, "doubled": 2.0 * self.largest}


def _model():
  keras.utils.set_random_seed(2)
  inputs = keras.Input((4,))
  block = pgates.GatedResidual(
      keras.layers.Dense(4), gate=pgates.DataDependentGate(hidden_units=2)
  )
  x, *decision = block(inputs)
  outputs = pgates.gated_outputs(
      keras.layers.Dense(3)(x), *([value] for value in decision)
  )
  outputs["side"] = keras.layers.Dense(2)(x)
  return pgates.GatedModel(inputs, outputs)


SETTINGS = {
    "nothing": {},
    "metrics": {"metrics": ["accuracy", TOP]},
    "weighted": {"weighted_metrics": ["accuracy"]},
    "twice": {"metrics": [ENTROPY], "weighted_metrics": [ENTROPY, "accuracy"]},
    "losses": {"loss": BOTH},
    "each": {"loss": BOTH, "metrics": EACH},
    "side": {"loss": BOTH, "metrics": {"side": [ENTROPY, TOP]}},
    "all": {"loss": BOTH, "metrics": EACH, "weighted_metrics": EACH},
    "extremes": {"metrics": [Extremes()]},
}


@pytest.mark.parametrize(
    "method, name",
    parameters.slow_but(
        [
            *(("evaluate", "twice"), ("evaluate", "all")),
            *(("test", "all"), ("test", "side")),
            *(("train", "all"), ("train", "extremes")),
        ],
        itertools.product(["evaluate", "test", "train"], SETTINGS),
    ),
)
def test_names_and_values_are_in_one_order(method, name):
  model = _model()
  # A step that changes nothing, so that all calls see the same network.
  settings = {"loss": CROSS_ENTROPY, **SETTINGS[name]}
  model.compile(keras.optimizers.SGD(0.0), run_eagerly=True, **settings)
  labels = LABELS if isinstance(settings["loss"], dict) else LABELS["logits"]
  call = {
      "evaluate": model.evaluate,
      "test": model.test_on_batch,
      "train": model.train_on_batch,
  }[method]
  quiet = {"verbose": 0} if method == "evaluate" else {}

  def called(**kwargs):
    pgates.seed_gates(model, 3)
    return call(IMAGES, labels, sample_weight=WEIGHTS, **quiet, **kwargs)

  values = dict(zip(model.metrics_names, called(), strict=True))
  extremes = values.pop("extremes", {})
  assert {**values, **extremes} == called(return_dict=True)
  assert isinstance(extremes, dict)


def test_list_of_a_network_without_fixed_sizes_has_no_macs():
  model = pgates.CifarResNet(8, num_classes=3, input_shape=(None, None, 3))
  model.compile("sgd")
  images, labels = np.ones((2, 8, 8, 3), np.float32), np.array([0, 1])
  found = dict(
      zip(model.metrics_names, model.test_on_batch(images, labels), strict=True)
  )
  assert found == model.test_on_batch(images, labels, return_dict=True)
  assert "macs" not in found
