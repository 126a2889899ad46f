"""Tests of pgates/training/task_losses.py; of Keras's, keras_faithful_test."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pgates.layers import replicas
from pgates.training import task_losses

RNG = np.random.default_rng(0)
LOGITS = tf.constant(RNG.normal(size=(4, 3)), tf.float32)
LABELS = tf.constant([0, 2, 1, 1])
WEIGHTS = tf.constant([1.0, 0.5, 0.0, 2.0])
Sparse = keras.losses.SparseCategoricalCrossentropy


class _Whole(keras.losses.Loss):
  """One value for its batch."""

  def call(self, y_true, y_pred):
    return tf.reduce_max(y_pred) - tf.cast(tf.reduce_min(y_true), tf.float32)


def test_loss_of_logits_is_the_default():
  (loss,) = task_losses.by_output(None, ["logits", "other"]).values()
  assert isinstance(loss, Sparse) and loss.from_logits
  given = {"other": keras.losses.Huber()}
  assert task_losses.by_output(given, ["logits", "other"]) is given


@pytest.mark.parametrize(
    "loss, message",
    [
        ({}, r"may name the outputs \['logits'\]"),
        ({"other": keras.losses.Huber()}, r"Received: \['other'\]"),
        ("mse", "must be a keras.losses.Loss of logits.*'logits': 'mse'"),
        (Sparse(), "must be a keras.losses.Loss of logits"),
        (Sparse(from_logits=True, reduction="none"), "must reduce to a scalar"),
    ],
)
def test_what_is_no_loss_of_an_output_is_refused(loss, message):
  with pytest.raises(ValueError, match=message):
    task_losses.by_output(loss, ["logits"])


def test_values_come_by_the_names_that_are_asked_for():
  found = task_losses.by_name(LABELS.numpy(), ["logits"], what="labels")
  np.testing.assert_array_equal(found["logits"], LABELS)
  given = {"unused": WEIGHTS, "logits": LABELS}
  assert list(task_losses.by_name(given, ["logits"], what="labels")) == [
      "logits"
  ]


@pytest.mark.parametrize(
    "values, names, message",
    [
        (None, ["logits"], "labels are missing"),
        ({"other": LABELS}, ["logits"], r"no labels for .*\['logits'\]"),
        (LABELS, ["logits", "other"], "as a dictionary by the names"),
        ([LABELS], ["logits"], "as a dictionary by the names"),
    ],
)
def test_values_that_are_missing_are_named(values, names, message):
  with pytest.raises(ValueError, match=message):
    task_losses.by_name(values, names, what="labels")


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
)
def test_share_of_one_replica_is_what_keras_computes(reduction, weights):
  loss = Sparse(from_logits=True, reduction=reduction)
  received = task_losses.share(loss, LABELS, LOGITS, weights)
  expected = loss(LABELS, LOGITS, weights)
  np.testing.assert_allclose(received, expected, rtol=1e-6)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"]
)
def test_shares_of_the_parts_of_a_batch_add_up(reduction, weights, monkeypatch):
  """Of replicas of one and of three examples."""
  loss = Sparse(from_logits=True, reduction=reduction)
  parts = (slice(0, 1), slice(1, 4))
  counts = [1.0, 3.0]
  if reduction == "mean_with_sample_weight" and weights is not None:
    counts = [float(tf.reduce_sum(weights[part])) for part in parts]
  seen = []

  def total(count):
    seen.append(float(count))
    return tf.constant(sum(counts))

  monkeypatch.setattr(replicas, "sum_over_replicas", total)
  shares = [
      task_losses.share(
          loss,
          LABELS[part],
          LOGITS[part],
          None if weights is None else weights[part],
      )
      for part in parts
  ]
  assert seen == ([] if reduction == "sum" else counts)
  expected = loss(LABELS, LOGITS, weights)
  np.testing.assert_allclose(sum(shares), expected, rtol=1e-6)


def test_loss_over_its_batch_is_for_one_replica(monkeypatch):
  expected = _Whole()(LABELS, LOGITS)
  received = task_losses.share(_Whole(), LABELS, LOGITS)
  np.testing.assert_allclose(received, expected)
  monkeypatch.setattr(replicas, "num_replicas", lambda: 2)
  with pytest.raises(ValueError, match="_Whole computes one loss.*2 replicas"):
    task_losses.share(_Whole(), LABELS, LOGITS)


@pytest.mark.parametrize(
    "shape, rank, expected",
    [((4,), 3, (4, 1, 1)), ((4, 1), 1, (4,)), ((4, 5), 2, (4, 5))],
)
def test_factors_are_aligned_with_the_first_axes(shape, rank, expected):
  received = task_losses.aligned(tf.zeros(shape), rank)
  assert received.shape == expected


def test_loss_that_does_not_fit_its_output_is_refused():
  output = keras.KerasTensor((None, 3))
  task_losses.check_fits(Sparse(from_logits=True), output, num_replicas=2)
  task_losses.check_fits(_Whole(), output, num_replicas=1)
  with pytest.raises(ValueError, match="_Whole .* split over 2 replicas"):
    task_losses.check_fits(_Whole(), output, num_replicas=2)
  with pytest.raises(ValueError, match="CTC cannot be computed .*None, 3"):
    task_losses.check_fits(keras.losses.CTC(), output, num_replicas=1)
