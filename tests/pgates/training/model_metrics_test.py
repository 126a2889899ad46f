"""Tests of pgates/training/model_metrics.py."""

import keras
import numpy as np
import pytest

from pgates.training import model_metrics

OUTPUTS = {
    "logits": keras.KerasTensor((None, 3)),
    "other": keras.KerasTensor((None, 2)),
}
LOSSES = {
    "logits": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "other": keras.losses.CategoricalCrossentropy(from_logits=True),
}


def _by_output(metrics):
  return model_metrics.by_output(metrics, OUTPUTS, argument="metrics")


def _logged(metrics=None, weighted=None, logs=("loss", "accuracy")):
  found = model_metrics.logged(
      _by_output(metrics),
      _by_output(weighted),
      losses=LOSSES,
      outputs=OUTPUTS,
      logs=logs,
  )
  return [(each.name, each.output, each.is_weighted) for each in found]


def mean_of_largest(y_true, y_pred):
  del y_true
  return keras.ops.max(y_pred, axis=-1)


def test_list_is_of_the_logits():
  metric = keras.metrics.MeanSquaredError(name="own")
  found = _by_output([metric, "mae", mean_of_largest, "acc"])
  assert list(found) == ["logits"]
  assert found["logits"][0] is metric
  names = [m if isinstance(m, str) else m.name for m in found["logits"]]
  assert names == ["own", "mae", "mean_of_largest", "accuracy"]
  assert _by_output(None) == {"logits": []}


def test_metrics_come_by_the_names_of_outputs():
  found = _by_output({"other": "mae", "logits": ["mse", "mae"]})
  names = {name: [m.name for m in each] for name, each in found.items()}
  assert names == {"other": ["mae"], "logits": ["mse", "mae"]}
  with pytest.raises(ValueError, match=r"`metrics` may name.*\['third'\]"):
    _by_output({"third": ["mae"]})


def test_function_is_averaged():
  (metric,) = _by_output([mean_of_largest])["logits"]
  metric.update_state(np.zeros(2), np.array([[1.0, 5.0], [2.0, 0.0]]))
  np.testing.assert_allclose(metric.result(), 3.5)


def test_names_tell_outputs_and_weights_apart():
  assert _logged({"logits": ["mae"], "other": ["mae"]}, ["mae", "mse"]) == [
      ("mae", "logits", False),
      ("other_mae", "other", False),
      ("weighted_mae", "logits", True),
      ("mse", "logits", True),
  ]


def test_accuracy_of_the_logits_is_logged_already():
  every = {"logits": ["accuracy"], "other": ["accuracy"]}
  assert _logged(every, every) == [
      ("other_accuracy", "other", False),
      ("weighted_accuracy", "logits", True),
      ("weighted_other_accuracy", "other", True),
  ]


def test_name_that_is_taken_is_refused():
  with pytest.raises(ValueError, match="names of their own.*'loss'"):
    _logged([keras.metrics.MeanSquaredError(name="loss")])
  with pytest.raises(ValueError, match="names of their own.*'mae'"):
    _logged(["mae", "mae"])


def test_copies_have_a_state_of_their_own():
  given = _by_output([keras.metrics.SparseTopKCategoricalAccuracy(2, "top2")])
  given["logits"].append("accuracy")
  metric, name = given["logits"]
  logits = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], np.float32)
  metric.update_state(np.array([1, 2]), logits)
  copy, copied_name = model_metrics.copies(given)["logits"]
  assert copied_name == name == "accuracy"
  assert copy is not metric and copy.name == "top2"
  assert float(copy.result()) == 0.0
  copy.update_state(np.array([1]), logits[:1])
  assert (float(copy.result()), float(metric.result())) == (1.0, 0.5)
