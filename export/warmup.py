"""Warm-up requests: what TensorFlow Serving runs before it says it is ready."""

import pathlib

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2


def predict_request(name, signature, inputs):
  """A request of the Predict API.

  Args:
    name: of the model.
    signature: of the model's.
    inputs: array by input name.

  Returns:
    A `PredictRequest`.
  """
  request = predict_pb2.PredictRequest()
  request.model_spec.name = name
  request.model_spec.signature_name = signature
  for key, value in inputs.items():
    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
  return request


def write(path, *, name, examples, batch_sizes, with_threshold):
  """Writes warm-up requests for each signature and allowed batch size.

  Where the signature takes thresholds, 0 opens every branch, and a mixture of
  0 and 1 runs the gather and scatter of each.

  Args:
    path: of the TFRecord to write.
    name: of the model.
    examples: uint8 [n, height, width, channels].
    batch_sizes: that the server pads to.
    with_threshold: whether there is a `serving_threshold`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for size in batch_sizes:
      for signature, inputs in _inputs(examples, size, with_threshold):
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(
            predict_request(name, signature, inputs)
        )
        writer.write(log.SerializeToString())


def _inputs(examples, size, with_threshold):
  images = np.resize(examples, (size, *examples.shape[1:]))
  floats = images.astype(np.float32)
  yield "serving_default", {"images": floats}
  yield "serving_uint8", {"images": images}
  encoded = [tf.io.encode_png(image).numpy() for image in images]
  yield "serving_bytes", {"image_bytes": np.array(encoded, dtype=object)}
  if with_threshold:
    mixed = np.arange(size, dtype=np.float32) % 2
    for threshold in (np.zeros(size, np.float32), mixed):
      inputs = {"images": floats, "threshold": threshold}
      yield "serving_threshold", inputs
