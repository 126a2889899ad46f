"""Tests of pgates/training/loss_scaling.py; of several replicas, model_test."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pgates.layers import replicas
from pgates.training import loss_scaling

GRADIENTS = [None, tf.constant([1.0, 2.0]), tf.constant(3.0)]


def _scaling():
  optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
  optimizer.build([keras.Variable([0.0, 0.0]), keras.Variable(0.0)])
  return optimizer


@pytest.fixture(name="finite_replicas")
def _finite_replicas(monkeypatch):
  """Two replicas, of which so many others find their gradients finite."""
  others = []
  monkeypatch.setattr(replicas, "num_replicas", lambda: 2)
  monkeypatch.setattr(
      replicas, "sum_over_replicas", lambda tensor: tensor + others[0]
  )
  return others


def test_one_replica_keeps_its_gradients():
  assert loss_scaling.equally_finite(_scaling(), GRADIENTS) is GRADIENTS


@pytest.mark.usefixtures("finite_replicas")
def test_without_loss_scaling_gradients_are_kept():
  sgd = keras.optimizers.SGD()
  assert loss_scaling.equally_finite(sgd, GRADIENTS) is GRADIENTS


@pytest.mark.parametrize("other, is_lost", [(1.0, False), (0.0, True)])
def test_gradients_are_lost_where_those_of_another_replica_are(
    other, is_lost, finite_replicas
):
  finite_replicas.append(other)
  received = loss_scaling.equally_finite(_scaling(), GRADIENTS)
  assert received[0] is None
  expected = np.full(2, np.nan) if is_lost else GRADIENTS[1]
  np.testing.assert_array_equal(received[1], expected)
  np.testing.assert_array_equal(received[2], GRADIENTS[2])
