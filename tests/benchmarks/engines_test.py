"""Tests of `benchmarks.engines`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import engines
import pgates
from tests.helpers import gated_networks as networks

THRESHOLD = 0.5


@pytest.fixture(scope="module")
def model():
  return networks.resnet()


def _expected(model, images):
  outputs = pgates.with_strategy(model, "map").predict(images, verbose=0)
  assert 0 < np.mean(outputs["gates"]) < 1
  return outputs["logits"]


def _thresholds(images):
  return tf.fill([len(images)], THRESHOLD)


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_saved_model_computes_the_network(model, execution, tmp_path):
  images = networks.images()
  run = engines.saved_model(
      model, "threshold", execution=execution, folder=tmp_path
  )
  outputs = run(tf.constant(images), _thresholds(images))
  np.testing.assert_allclose(
      outputs["logits"], _expected(model, images), atol=1e-4
  )


@pytest.mark.parametrize("dynamic", [False, True])
def test_tflite_computes_the_network(model, dynamic):
  images = networks.images()
  blocks = range(len(pgates.gated_blocks(model)))
  measured = model if dynamic else pgates.prune(model, [], always_open=blocks)
  run = engines.tflite_file(measured, dynamic=dynamic, num_threads=1)
  expected = tf.nn.softmax(_expected(measured, images)) if dynamic else None
  if expected is None:
    expected = tf.nn.softmax(measured.predict(images, verbose=0)["logits"])
  for image, probabilities in zip(images, expected, strict=True):
    image = image[None]
    outputs = run(image, np.float32(_thresholds(image)[0]))
    np.testing.assert_allclose(
        outputs["probabilities"][0], probabilities, atol=1e-4
    )


def test_keras_computes_the_network(model):
  images = networks.images()
  outputs = engines.keras_model(model)(tf.constant(images), None)
  np.testing.assert_allclose(
      outputs["logits"], _expected(model, images), atol=1e-4
  )


@pytest.mark.skipif(
    not engines.has_onnx_runtime(), reason="needs onnxruntime and tf2onnx"
)
def test_onnx_runtime_computes_the_ungated_network(model):
  images = networks.images()
  blocks = range(len(pgates.gated_blocks(model)))
  ungated = pgates.prune(model, [], always_open=blocks)
  outputs = engines.onnx_runtime(ungated, num_threads=1)(
      tf.constant(images), None
  )
  expected = ungated.predict(images, verbose=0)["logits"]
  assert any(
      output.shape == expected.shape
      and np.allclose(output, expected, atol=1e-4)
      for output in outputs
  )
