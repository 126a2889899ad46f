"""Tests of pgates/training/objective.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import replicas
from pgates.training import objective


def _objective(loss_weights=None, rate_loss=None):
  losses = {
      "logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      "other": keras.losses.MeanSquaredError(),
  }
  return objective.Objective(losses, loss_weights or {}, rate_loss)


def test_each_output_has_the_loss_of_its_labels_and_weights():
  rng = np.random.default_rng(0)
  outputs = {
      "logits": tf.constant(rng.normal(size=(3, 4)), tf.float32),
      "other": tf.constant(rng.normal(size=(3, 2)), tf.float32),
  }
  labels = {
      "logits": tf.constant([1, 0, 3]),
      "other": tf.constant(rng.normal(size=(3, 2)), tf.float32),
  }
  weights = {"logits": None, "other": tf.constant([1.0, 0.0, 2.0])}
  of = _objective()
  received = of.task_losses(outputs, labels, weights)
  assert list(received) == ["logits", "other"]
  for name, loss in of.losses.items():
    expected = loss(labels[name], outputs[name], weights[name])
    np.testing.assert_allclose(received[name], expected, rtol=1e-6)


def test_task_is_the_weighted_sum_and_the_penalties():
  losses = {"logits": tf.constant(2.0), "other": tf.constant(3.0)}
  of = _objective({"other": 0.25})
  np.testing.assert_allclose(of.task(losses, []), 2.75)
  penalties = [tf.constant(0.5), tf.constant(0.125, tf.float64)]
  np.testing.assert_allclose(of.task(losses, penalties), 3.375)


def test_penalties_count_once_over_all_replicas(monkeypatch):
  monkeypatch.setattr(replicas, "num_replicas", lambda: 4)
  losses = {"logits": tf.constant(2.0)}
  received = _objective().task(losses, [tf.constant(1.0)])
  np.testing.assert_allclose(received, 2.25)


@pytest.mark.parametrize("share", ["gates", "macs"])
def test_rate_is_of_the_examples_of_the_global_batch(share, monkeypatch):
  rate_loss = pgates.TargetRateLoss(0.5, weight=2.0, share=share)
  gates = np.array([[1, 0, 1], [1, 0, 0]], np.float32)
  others = np.array([1.0, 0.0, 2.0], np.float32)  # Sums of two examples.
  monkeypatch.setattr(
      replicas, "sum_over_replicas", lambda tensor: tensor + others
  )
  place = replicas.BatchPlace(offset=0, size=tf.constant(4), local_size=2)
  macs = (10, 20, 30)
  received = _objective(rate_loss=rate_loss).rate(
      tf.constant(gates), place, macs
  )
  rates = (gates.sum(axis=0) + others) / 4
  weights = np.array(macs) / 60 if share == "macs" else np.full(3, 1 / 3)
  np.testing.assert_allclose(
      received, 2 * (0.5 - rates @ weights) ** 2, rtol=1e-5
  )


def test_without_a_rate_loss_the_rate_costs_nothing():
  place = replicas.BatchPlace(offset=0, size=2, local_size=2)
  received = _objective().rate(tf.ones([2, 3]), place, (1, 1, 1))
  assert float(received) == 0.0
