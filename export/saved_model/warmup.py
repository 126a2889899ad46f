"""Warm-up requests: what TensorFlow Serving runs before it says it is ready.

Their images are of one grey, which a request holds as one number. Photographs
would weigh more than a network: 41 of 224 x 224 pixels in each signature are
80 MB.
"""

from collections.abc import Iterable
import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2
from tensorflow_serving.apis import prediction_log_pb2

_GREY = 128


def predict_request(
    name: str, signature: str, inputs: dict[str, tensor_pb2.TensorProto]
) -> predict_pb2.PredictRequest:
  """A request of the Predict API.

  Args:
    name: of the model.
    signature: of the model's.
    inputs: `TensorProto` by input name.

  Returns:
    A `PredictRequest`.
  """
  request = predict_pb2.PredictRequest()
  request.model_spec.name = name
  request.model_spec.signature_name = signature
  for key, value in inputs.items():
    request.inputs[key].CopyFrom(value)
  return request


def write(
    path: str | os.PathLike,
    *,
    name: str,
    image_shape: tuple[int, int, int],
    batch_sizes: Iterable[int],
    with_threshold: bool,
) -> None:
  """Writes warm-up requests for each signature and allowed batch size.

  Where the signature takes thresholds, 0 opens every branch, and a mixture of
  0 and 1 runs the gather and scatter of each.

  Args:
    path: of the TFRecord to write.
    name: of the model.
    image_shape: `(height, width, channels)`.
    batch_sizes: that the server pads to.
    with_threshold: whether there is a `serving_threshold`.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  with tf.io.TFRecordWriter(str(path)) as writer:
    for size in batch_sizes:
      for signature, inputs in _inputs(image_shape, size, with_threshold):
        log = prediction_log_pb2.PredictionLog()
        log.predict_log.request.CopyFrom(
            predict_request(name, signature, inputs)
        )
        writer.write(log.SerializeToString())


def _inputs(image_shape, size, with_threshold):
  def same(value, dtype, shape):
    # One value: the readers of such protocol buffers repeat it.
    return tf.make_tensor_proto(value, dtype, [size, *shape])

  images = same(_GREY, tf.float32, image_shape)
  encoded = tf.io.encode_png(np.full(image_shape, _GREY, np.uint8)).numpy()
  yield "serving_default", {"images": images}
  yield "serving_uint8", {"images": same(_GREY, tf.uint8, image_shape)}
  yield "serving_bytes", {"image_bytes": same(encoded, tf.string, [])}
  if with_threshold:
    mixed = tf.make_tensor_proto(np.arange(size, dtype=np.float32) % 2)
    for threshold in (same(0.0, tf.float32, []), mixed):
      yield "serving_threshold", {"images": images, "threshold": threshold}
