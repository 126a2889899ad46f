"""Tests of pgates/training/logs.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pgates.costs import model_macs
from pgates.layers import replicas
from pgates.training import logs as logs_lib
from pgates.training import model_metrics

OUTPUTS = {
    "logits": keras.KerasTensor((None, 3)),
    "other": keras.KerasTensor((None, 2)),
}
CLASSES = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
MACS = model_macs.ModelMacs(("a", "b"), 100, (1, 1), (10, 30))


def _logs(losses=None, **given):
  metrics = {
      argument: model_metrics.by_output(
          given.get(argument), OUTPUTS, argument=argument
      )
      for argument in ("metrics", "weighted_metrics")
  }
  outputs = {**OUTPUTS, "gates": keras.KerasTensor((None, 2))}
  return logs_lib.Logs(losses or {"logits": CLASSES}, metrics, outputs, MACS)


def _place(size):
  return replicas.BatchPlace(offset=0, size=tf.constant(size), local_size=size)


def test_losses_are_means_over_examples_not_steps():
  logs = _logs()
  for size, task, rate in ((4, 1.0, 0.5), (1, 6.0, 0.0)):
    task, rate = tf.constant(task), tf.constant(rate)
    logs.record_losses({"logits": task}, task, rate, _place(size))
  found = logs.results()
  np.testing.assert_allclose(found["task_loss"], 10 / 5)
  np.testing.assert_allclose(found["rate_loss"], 2 / 5)
  np.testing.assert_allclose(found["loss"], 12 / 5)
  assert "logits_loss" not in found


def test_each_replica_counts_its_own_examples():
  logs = _logs()
  for local_size in (5, 3):  # Of two replicas.
    place = replicas.BatchPlace(
        offset=0, size=tf.constant(8), local_size=tf.constant(local_size)
    )
    logs.record_losses({}, tf.constant(2.0), tf.constant(1.0), place)
  assert [float(mean.count) for mean in logs.metrics[:3]] == [8, 8, 8]
  np.testing.assert_allclose(logs.results()["loss"], 3)


def test_several_outputs_have_a_loss_each():
  logs = _logs({"logits": CLASSES, "other": keras.losses.Huber()})
  losses = {"logits": tf.constant(2.0), "other": tf.constant(3.0)}
  logs.record_losses(losses, tf.constant(5.0), tf.constant(0.0), _place(2))
  found = logs.results()
  assert [float(found[f"{name}_loss"]) for name in losses] == [2.0, 3.0]


def test_gates_are_counted_in_open_rates_and_multiply_adds():
  logs = _logs()
  gates = np.array([[1, 0], [1, 1], [1, 0], [0, 1]], np.float32)
  logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
  outputs = {"logits": tf.constant(logits), "gates": tf.constant(gates)}
  logs.record(outputs, {"logits": tf.constant([0, 1, 0, 1])}, {})
  found = logs.results()
  np.testing.assert_allclose(found["accuracy"], 2 / 4)
  np.testing.assert_allclose(found["open_rate"], gates.mean())
  np.testing.assert_allclose(
      found["macs"], np.mean(MACS.executed(gates)), rtol=1e-6
  )


def test_weights_count_in_weighted_metrics_alone():
  given = {"other": ["mae"]}
  logs = _logs(metrics=given, weighted_metrics=given)
  targets = np.array([[1.0, 1.0], [4.0, 4.0]], np.float32)
  outputs = {
      "logits": tf.zeros([2, 3]),
      "other": tf.zeros([2, 2]),
      "gates": tf.ones([2, 2]),
  }
  labels = {"logits": tf.constant([0, 0]), "other": tf.constant(targets)}
  weights = {"logits": None, "other": tf.constant([3.0, 1.0])}
  logs.record(outputs, labels, weights)
  found = logs.results()
  np.testing.assert_allclose(found["other_mae"], 2.5)
  np.testing.assert_allclose(found["weighted_other_mae"], 7 / 4)


@pytest.mark.parametrize("loss", [CLASSES, keras.losses.MeanSquaredError()])
def test_names_are_of_what_is_logged(loss):
  logs = _logs({"logits": loss}, metrics=["mse"])
  assert set(logs.names) == set(logs.results())
  assert ("accuracy" in logs.names) == (loss is CLASSES)
  assert len(logs.metrics) == len(logs.names) - 1
  assert logs.metrics[-1] is logs.gate_open_rates


def test_name_of_a_log_is_refused_for_a_metric():
  with pytest.raises(ValueError, match="names of their own.*'macs'"):
    _logs(metrics=[keras.metrics.MeanSquaredError(name="macs")])


def test_accuracy_that_is_given_is_logged_in_place_of_ours():
  top2 = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="accuracy")
  weighted = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
  logs = _logs(metrics=[top2], weighted_metrics=[weighted])
  outputs = {
      "logits": tf.constant([[3.0, 2.0, 1.0]] * 4),
      "gates": tf.ones([4, 2]),
  }
  labels = {"logits": tf.constant([0, 1, 1, 2])}
  logs.record(outputs, labels, {"logits": tf.constant([3.0, 1.0, 1.0, 1.0])})
  found = logs.results()
  assert float(found["accuracy"]) == 3 / 4
  assert float(found["weighted_accuracy"]) == 3 / 6
  assert logs.names.count("accuracy") == 1
  assert logs.listed(found) == [found[name] for name in logs.names]


def test_accuracy_is_given_once():
  twice = [keras.metrics.SparseCategoricalAccuracy(name="accuracy")] * 2
  with pytest.raises(ValueError, match="names of their own.*'accuracy'"):
    _logs(metrics=twice)
