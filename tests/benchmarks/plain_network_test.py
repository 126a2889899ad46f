"""Tests of `benchmarks.plain_network`."""

import keras
import numpy as np

from benchmarks import plain_network
import pgates


def test_network_is_a_classifier_whose_blocks_are_found():
  network = plain_network.build((32, 32, 1))
  assert network.output_shape == (None, 10)
  found = pgates.find_residuals(network)
  assert sum(block.gateable for block in found) >= 9
  probabilities = network(np.zeros((2, 32, 32, 1), np.float32))
  np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1.0, rtol=1e-5)


def test_training_moves_the_network_itself():
  keras.utils.set_random_seed(0)
  inputs = keras.Input((4, 4, 1))
  outputs = keras.layers.Dense(10, activation="softmax")(
      keras.layers.Flatten()(inputs)
  )
  network = keras.Model(inputs, outputs)
  images = np.random.default_rng(0).uniform(0, 1, (300, 4, 4, 1))
  labels = (images.mean(axis=(1, 2, 3)) > 0.5).astype(int)
  before = network.get_weights()[0]
  plain_network.train(network, images, labels, epochs=1)
  assert np.abs(network.get_weights()[0] - before).max() > 1e-3


def test_its_averages_are_of_the_last_steps():
  network = plain_network.build((32, 32, 1))
  norms = [
      layer
      for layer in network.layers
      if isinstance(layer, keras.layers.BatchNormalization)
  ]
  assert len(norms) == 52
  assert {norm.momentum for norm in norms} == {0.9}
