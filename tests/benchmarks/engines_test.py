"""Tests of `benchmarks.engines`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import engines
import pgates
from tests.helpers import gated_networks as networks


@pytest.fixture(scope="module")
def model():
  return networks.resnet()


def _expected(model, images):
  outputs = pgates.with_strategy(model, "map").predict(images, verbose=0)
  assert 0 < np.mean(outputs["gates"]) < 1
  return outputs["logits"]


def test_keras_computes_the_network(model):
  images = networks.images()
  outputs = engines.keras_model(model)(tf.constant(images), None)
  np.testing.assert_allclose(
      outputs["logits"], _expected(model, images), atol=1e-4
  )


@pytest.mark.skipif(
    not engines.has("onnxruntime", "tf2onnx"),
    reason="needs onnxruntime and tf2onnx",
)
def test_other_runtimes_compute_the_ungated_network(model):
  images = networks.images()
  blocks = range(len(pgates.gated_blocks(model)))
  ungated = pgates.prune(model, [], always_open=blocks)
  expected = ungated.predict(images, verbose=0)["logits"]
  for run in engines.other_runtimes(ungated, num_threads=1).values():
    assert any(
        output.shape == expected.shape
        and np.allclose(output, expected, atol=1e-4)
        for output in run(tf.constant(images), None)
    )


def test_packages_that_are_not_there_are_not_used():
  assert engines.has("numpy", "tensorflow")
  assert not engines.has("numpy", "no_such_package")
