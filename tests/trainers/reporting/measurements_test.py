"""Tests of `trainers.reporting.measurements`."""

import numpy as np
import pytest
from scipy import special
import tensorflow as tf

import pgates
from tests.helpers import gated_networks
from trainers.reporting import measurements as report_measurements

NUM, BATCH, SHOWN = 23, 8, 3


@pytest.fixture(name="model", scope="module")
def _model():
  return gated_networks.resnet()


@pytest.fixture(name="images", scope="module")
def _images():
  return gated_networks.images(NUM)


@pytest.fixture(name="found", scope="module")
def _found(model, images):
  labels = np.arange(NUM) % 10
  batches = tf.data.Dataset.from_tensor_slices((images, labels)).batch(BATCH)
  return report_measurements.decide(model, batches, num_extremes=SHOWN)


def test_decisions_are_those_of_map(model, images, found):
  outputs = pgates.with_strategy(model, "map").predict(images, verbose=0)
  np.testing.assert_array_equal(found.gates, outputs["gate_logits"] > 0)
  assert 0 < found.gates.mean() < 1
  np.testing.assert_array_equal(
      found.predictions, outputs["logits"].argmax(axis=-1)
  )
  np.testing.assert_array_equal(found.labels, np.arange(NUM) % 10)
  macs = model.macs
  np.testing.assert_allclose(
      found.macs, macs.always + found.gates @ np.array(macs.branches)
  )
  assert found.num_patterns == len({tuple(g) for g in found.gates.tolist()})


def test_extremes_are_the_cheapest_and_the_most_expensive(model, found, images):
  outputs = model.predict(images, verbose=0)
  probabilities = special.expit(outputs["gate_logits"].astype(np.float64))
  expected = probabilities @ np.array(model.macs.branches)
  # Some execute the same.
  assert len(set(found.macs.tolist())) < NUM
  ordered = sorted(range(NUM), key=lambda i: (found.macs[i], expected[i]))
  assert found.cheapest == ordered[:SHOWN]
  ordered = sorted(range(NUM), key=lambda i: (-found.macs[i], -expected[i]))
  assert found.most_expensive == ordered[:SHOWN]
  assert set(found.extremes) == {*found.cheapest, *found.most_expensive}
  for index, pixels in found.extremes.items():
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels, images[index], atol=0.5)
