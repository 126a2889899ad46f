"""Tests of `export.checks.run_exported`."""

import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from export.checks import run_exported
from export.tflite import conversion
import pgates
from tests.helpers import gated_networks


def _numbers(num, seed=0):
  return np.random.default_rng(seed).normal(size=(num, 2)).astype(np.float32)


class _Arithmetic(tf.Module):
  """Two signatures whose answers NumPy knows."""

  def __init__(self):
    super().__init__()
    spec = tf.TensorSpec([None, 2], tf.float32, "images")
    thresholds = tf.TensorSpec([None], tf.float32, "threshold")
    self.default = tf.function(
        lambda images: {"twice": 2 * images, "sums": tf.reduce_sum(images, 1)},
        input_signature=[spec],
    )
    self.above = tf.function(
        lambda images, threshold: {"gates": images > threshold[:, None]},
        input_signature=[spec, thresholds],
    )


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
  path = tmp_path_factory.mktemp("saved_model")
  module = _Arithmetic()
  signatures = {"serving_default": module.default, "above": module.above}
  tf.saved_model.save(module, str(path), signatures=signatures)
  return path


@pytest.fixture(scope="module")
def network():
  """Both of its gates differ between images."""
  return gated_networks.randomize(gated_networks.user_network(), seed=5)


@pytest.fixture(scope="module")
def tflite_file(tmp_path_factory, network):
  path = tmp_path_factory.mktemp("tflite") / "model.tflite"
  path.write_bytes(conversion.convert(network, dynamic=True))
  return path


def _run_program(model, folder, requests):
  """The program's answers, and the packages that it imported."""
  np.savez(folder / "requests.npz", **requests)
  paths = [model, folder / "requests.npz", folder / "answers.npz"]
  done = subprocess.run(
      [
          *(sys.executable, "-X", "importtime", run_exported.__file__),
          *map(str, paths),
      ],
      capture_output=True,
      text=True,
      check=True,
  )
  imports = re.findall(r"^import time:.*\| *(\w+)", done.stderr, re.MULTILINE)
  with np.load(folder / "answers.npz") as answers:
    return dict(answers), {*imports}


def test_requests_are_read_as_they_were_named(tmp_path):
  images, thresholds = _numbers(3), np.float32([0, 0.5, 1])
  encoded = np.array([b"some", b"longer bytes"])
  path = tmp_path / "requests.npz"
  arrays = {
      "mixed/above/images": images,
      "bytes/serving_bytes/image_bytes": encoded,
      "mixed/above/threshold": thresholds,
  }
  np.savez(path, **arrays)
  requests = run_exported.read_requests(path)
  assert {name: signature for name, (signature, _) in requests.items()} == {
      "mixed": "above",
      "bytes": "serving_bytes",
  }
  assert {*requests["mixed"][1]} == {"images", "threshold"}
  np.testing.assert_array_equal(requests["mixed"][1]["images"], images)
  np.testing.assert_array_equal(requests["mixed"][1]["threshold"], thresholds)
  assert requests["bytes"][1]["image_bytes"].tolist() == encoded.tolist()


def test_saved_model_answers_by_the_signature_asked(saved_model):
  run = run_exported.saved_model_runner(saved_model)
  images, thresholds = _numbers(5), np.linspace(-1, 1, 5, dtype=np.float32)
  answer = run("serving_default", {"images": images})
  assert {*answer} == {"twice", "sums"}
  np.testing.assert_array_equal(answer["twice"], 2 * images)
  np.testing.assert_allclose(answer["sums"], images.sum(axis=1), rtol=1e-6)
  answer = run("above", {"images": images, "threshold": thresholds})
  np.testing.assert_array_equal(answer["gates"], images > thresholds[:, None])


def test_tflite_file_answers_one_example_after_the_other(tflite_file, network):
  run = run_exported.tflite_runner(tflite_file)
  images = gated_networks.images(4)
  thresholds = np.float32([0.5, 0.0, 1.0, 0.3])
  inputs = {"images": images, "threshold": thresholds}
  answer = run("serving_default", inputs)
  expected = pgates.with_threshold_input(network).predict_on_batch(inputs)
  np.testing.assert_array_equal(answer["gates"], expected["gates"])
  assert len(np.unique(expected["gates"], axis=0)) > 1
  np.testing.assert_allclose(
      answer["probabilities"],
      tf.nn.softmax(expected["logits"]),
      rtol=1e-3,
      atol=1e-5,
  )


def test_tflite_file_without_threshold_is_asked_for_none(network, tmp_path):
  path = tmp_path / "fixed.tflite"
  fixed = pgates.prune(network, [1], always_open=[0])
  path.write_bytes(conversion.convert(fixed, dynamic=False))
  images = gated_networks.images(2)
  answer = run_exported.tflite_runner(path)(
      "serving_default", {"images": images}
  )
  assert answer["gates"].tolist() == [[1, 0], [1, 0]]


@pytest.mark.slow
def test_program_names_the_answers_by_request_and_output(saved_model, tmp_path):
  first, second = _numbers(2), _numbers(3, seed=1)
  requests = {
      "first/serving_default/images": first,
      "second/serving_default/images": second,
      "third/above/images": first,
      "third/above/threshold": first[:, 0],
  }
  answers, imported = _run_program(saved_model, tmp_path, requests)
  assert {*answers} == {
      *(f"{name}/twice" for name in ("first", "second")),
      *(f"{name}/sums" for name in ("first", "second")),
      "third/gates",
  }
  np.testing.assert_array_equal(answers["second/twice"], 2 * second)
  np.testing.assert_array_equal(answers["third/gates"], first > first[:, [0]])
  assert "tensorflow" in imported
  assert not imported & {"export", "pgates"}


def test_tflite_files_are_run_without_tensorflow(tflite_file, tmp_path):
  images, thresholds = gated_networks.images(2), np.ones(2, np.float32)
  requests = {
      "closed/serving_default/images": images,
      "closed/serving_default/threshold": thresholds,
  }
  answers, imported = _run_program(tflite_file, tmp_path, requests)
  assert {*answers} == {"closed/gates", "closed/probabilities"}
  assert not answers["closed/gates"].any()
  assert "numpy" in imported
  assert not imported & {"tensorflow", "keras", "export", "pgates"}
