"""Tests of `pgates.inference.measurements`."""

import json

import numpy as np
import tensorflow as tf

from pgates.inference import measurements
from pgates.inference import strategies
from tests.helpers import gated_networks
from tests.helpers import toys


def test_measured_rates_are_means_over_examples():
  model = toys.mixed_model()
  rates, probabilities = measurements.measure_gates(model, toys.batches(11, 4))
  expected = toys.oracle(model, toys.examples(11), "map")
  np.testing.assert_allclose(rates, np.mean(expected["gates"], axis=0))
  np.testing.assert_allclose(
      probabilities,
      np.mean(toys.sigmoid(expected["gate_logits"]), axis=0),
      atol=1e-6,
  )


def test_curve_is_accuracy_and_cost_at_each_threshold():
  # Both of its gates differ between images.
  model = gated_networks.randomize(gated_networks.user_network(), seed=5)
  images = gated_networks.images(20)
  # Labels are what the whole network says, but for five examples.
  outputs = strategies.with_strategy(model, "always_open").predict(
      images, verbose=0
  )
  labels = np.asarray(outputs["logits"]).argmax(axis=-1)
  labels[:5] = (labels[:5] + 1) % 10
  # As Keras's own data sets have them.
  column = labels[:, None]
  dataset = tf.data.Dataset.from_tensor_slices((images, column)).batch(8)
  curve = measurements.threshold_curve(model, dataset)
  thresholds = [point["threshold"] for point in curve]
  np.testing.assert_allclose(thresholds, np.linspace(0, 1, 11))
  assert curve[0]["accuracy"] == 15 / 20
  assert curve[0]["macs"] == model.macs.dense
  assert curve[-1]["macs"] == model.macs.always
  for point in curve[4:6]:
    decided = strategies.with_strategy(model, f"threshold:{point['threshold']}")
    outputs = decided.predict(images, verbose=0)
    ran = outputs["gates"] @ np.array(model.macs.branches)
    hits = outputs["logits"].argmax(axis=-1) == labels
    np.testing.assert_allclose(point["accuracy"], np.mean(hits))
    np.testing.assert_allclose(point["macs"], model.macs.always + np.mean(ran))
    assert model.macs.always < point["macs"] < model.macs.dense
  json.dumps(curve)
