"""Tests of `export.warmup`."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export import warmup


def _requests(path):
  for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    request = log.predict_log.request
    assert request.model_spec.name == "digits"
    yield request.model_spec.signature_name, {
        name: tf.make_ndarray(value) for name, value in request.inputs.items()
    }


def _write(path, *, with_threshold):
  examples = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1)
  warmup.write(
      path,
      name="digits",
      examples=examples,
      batch_sizes=(1, 8),
      with_threshold=with_threshold,
  )
  return examples, list(_requests(path))


def test_each_signature_is_warmed_at_each_batch_size(tmp_path):
  examples, requests = _write(tmp_path / "extra" / "w", with_threshold=True)
  found = {(name, len(next(iter(i.values())))) for name, i in requests}
  names = ("default", "uint8", "bytes", "threshold")
  assert found == {(f"serving_{name}", n) for name in names for n in (1, 8)}
  for name, inputs in requests:
    if name == "serving_uint8":
      np.testing.assert_array_equal(inputs["images"][0], examples[0])
    if name == "serving_bytes":
      decoded = tf.io.decode_png(inputs["image_bytes"][0])
      np.testing.assert_array_equal(decoded, examples[0])


def test_thresholds_open_every_branch_and_mix(tmp_path):
  _, requests = _write(tmp_path / "w", with_threshold=True)
  thresholds = [
      i["threshold"].tolist() for _, i in requests if "threshold" in i
  ]
  assert [0.0] * 8 in thresholds
  assert [0.0, 1.0] * 4 in thresholds


def test_without_thresholds_there_is_no_such_request(tmp_path):
  _, requests = _write(tmp_path / "w", with_threshold=False)
  assert "serving_threshold" not in {name for name, _ in requests}
