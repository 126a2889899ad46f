"""Tests of `pgates.networks.adapting`."""

import keras
import numpy as np

import pgates
from pgates.networks import adapting
from tests.helpers import residual_networks


def test_adapted_network_computes_the_same_with_batch_norms_of_ours():
  network = residual_networks.toy()
  adapted = adapting.adapted(network, synchronized=False)
  images = residual_networks.images_of(network)
  np.testing.assert_array_equal(
      adapted(images, training=False), network(images, training=False)
  )
  kinds = {type(layer) for layer in adapted.layers}
  assert pgates.BatchNormalization in kinds
  assert keras.layers.BatchNormalization not in kinds


def test_a_layer_that_is_called_twice_stays_one():
  images = keras.Input((4, 4, 3))
  norm = keras.layers.BatchNormalization()
  network = keras.Model(images, norm(keras.ops.relu(norm(images))))
  norm.moving_mean.assign([1.0, 2.0, 3.0])
  adapted = adapting.adapted(network, synchronized=True)
  (ours,) = (x for x in adapted.layers if isinstance(x, type(norm)))
  np.testing.assert_array_equal(ours.moving_mean, [1, 2, 3])
  assert ours.synchronized


def test_gates_are_of_the_kind_that_is_asked_for():
  gated = adapting.gated(
      residual_networks.toy(), "independent", always_open=[2], synchronized=True
  )
  kinds = [type(block.gate) for block in pgates.gated_blocks(gated)]
  independent = pgates.DataIndependentGate
  assert kinds == [independent, independent, type(None), independent]
