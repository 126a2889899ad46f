"""Tests of `export.saved_model.warmup`."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from export.saved_model import warmup

_IMAGE = (4, 5, 1)


def _array(tensor):
  """What a server reads: TensorFlow's own parser, not Python's."""
  parsed = tf.io.parse_tensor(
      tensor.SerializeToString(), tf.as_dtype(tensor.dtype)
  )
  return parsed.numpy()


def _requests(path):
  for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
    log = prediction_log_pb2.PredictionLog.FromString(record)
    request = log.predict_log.request
    assert request.model_spec.name == "digits"
    yield request.model_spec.signature_name, {
        name: _array(value) for name, value in request.inputs.items()
    }


def _write(path, *, with_threshold, image_shape=_IMAGE):
  warmup.write(
      path,
      name="digits",
      image_shape=image_shape,
      batch_sizes=(1, 8),
      with_threshold=with_threshold,
  )
  return list(_requests(path))


def test_each_signature_is_warmed_at_each_batch_size(tmp_path):
  requests = _write(tmp_path / "extra" / "w", with_threshold=True)
  found = {(name, len(next(iter(i.values())))) for name, i in requests}
  names = ("default", "uint8", "bytes", "threshold")
  assert found == {(f"serving_{name}", n) for name in names for n in (1, 8)}
  for name, inputs in requests:
    (images,) = (value for key, value in inputs.items() if "image" in key)
    if name == "serving_bytes":
      images = np.stack([tf.io.decode_png(image) for image in images])
    else:
      expected = np.uint8 if name == "serving_uint8" else np.float32
      assert images.dtype == expected
    assert images.shape[1:] == _IMAGE and np.all(images == 128)


def test_a_file_weighs_little_whatever_the_size_of_images(tmp_path):
  path = tmp_path / "w"
  _write(path, with_threshold=True, image_shape=(224, 224, 3))
  assert path.stat().st_size < 8000


def test_thresholds_open_every_branch_and_mix(tmp_path):
  requests = _write(tmp_path / "w", with_threshold=True)
  thresholds = [
      i["threshold"].tolist() for _, i in requests if "threshold" in i
  ]
  assert [0.0] * 8 in thresholds
  assert [0.0, 1.0] * 4 in thresholds


def test_without_thresholds_there_is_no_such_request(tmp_path):
  requests = _write(tmp_path / "w", with_threshold=False)
  assert "serving_threshold" not in {name for name, _ in requests}
