"""Tests of pgates/training/accuracy.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pgates.training import accuracy

LOGITS = tf.constant([[2.0, -1.0, 0.5], [-3.0, 0.2, 0.1], [1.0, 1.5, -2.0]])
FIRST = [0, 1, 1]  # What each example's largest logit is of.
losses = keras.losses


@pytest.mark.parametrize(
    "loss, kind",
    [
        (None, None),
        (losses.MeanSquaredError(), None),
        (losses.BinaryCrossentropy(from_logits=True), "binary"),
        (losses.Hinge(), "binary"),
        (losses.SparseCategoricalCrossentropy(from_logits=True), "classes"),
        (losses.KLDivergence(), "classes"),
    ],
)
def test_loss_says_what_accuracy_counts(loss, kind):
  assert accuracy.kind_of(loss, LOGITS) == kind


def test_one_logit_of_a_loss_of_classes_has_no_accuracy():
  loss = losses.SparseCategoricalCrossentropy(from_logits=True)
  assert accuracy.kind_of(loss, LOGITS[:, :1]) is None


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 1, 2]),
        np.array([[0], [1], [2]], np.float32),
        np.eye(3, dtype=np.float32),
    ],
    ids=["classes", "column", "one-hot"],
)
def test_largest_logit_is_the_prediction(labels):
  received = accuracy.hits(tf.constant(labels), LOGITS, kind="classes")
  np.testing.assert_array_equal(np.ravel(received), np.equal(FIRST, [0, 1, 2]))


@pytest.mark.parametrize("no", [0.0, -1.0])
def test_sign_of_each_logit_is_the_prediction(no):
  yes = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]], bool)
  labels = tf.constant(np.where(yes, 1.0, no), tf.float32)
  received = accuracy.hits(labels, LOGITS, kind="binary")
  np.testing.assert_array_equal(received, (LOGITS.numpy() > 0) == yes)


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 4.0]])
def test_ignored_labels_count_nowhere(weights):
  labels = np.array([0, 2, 1])
  loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=2)
  metric = accuracy.Accuracy(loss, LOGITS, name="own")
  assert metric.name == "own"
  given = None if weights is None else tf.constant(weights)
  metric.update_state(tf.constant(labels), LOGITS, sample_weight=given)
  own = np.ones(3) if weights is None else np.array(weights)
  expected = np.average(labels == FIRST, weights=own * (labels != 2))
  np.testing.assert_allclose(metric.result(), expected, rtol=1e-6)


def test_accuracy_is_the_mean_over_all_batches():
  loss = losses.SparseCategoricalCrossentropy(from_logits=True)
  metric = accuracy.Accuracy(loss, LOGITS)
  metric.update_state(tf.constant([0, 1, 2]), LOGITS)
  metric.update_state(tf.constant([1]), LOGITS[:1])
  np.testing.assert_allclose(metric.result(), 2 / 4)
