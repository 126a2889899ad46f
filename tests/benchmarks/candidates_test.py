"""Tests of `benchmarks.candidates`."""

from ai_edge_litert import interpreter as litert
import numpy as np
import pytest
import tensorflow as tf

from benchmarks import candidates
from benchmarks import engines
import pgates
from tests.helpers import gated_networks as networks

MAP = pgates.parse_strategy("map")


@pytest.fixture(scope="module")
def model():
  return networks.resnet()


@pytest.fixture(scope="module")
def data(model):
  """Images, and what the network itself says of them."""
  images = networks.images()
  outputs = pgates.with_strategy(model, "map").predict(images, verbose=0)
  labels = outputs["logits"].argmax(axis=-1)
  return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


@pytest.fixture(scope="module")
def all_candidates(model, data):
  decided = candidates.decided(
      model, MAP, data, format="saved_model", batch_size=4
  )
  return {**candidates.of_rule(model, MAP), **decided}


def _logits(candidate, images):
  decided = pgates.with_strategy(candidate.model, candidate.strategy)
  return decided.predict(images, verbose=0)["logits"]


@pytest.mark.slow
def test_every_candidate_has_its_name(all_candidates):
  assert {*all_candidates, "removed", "ungated"} == set(candidates.NAMES)


@pytest.mark.slow
def test_the_rule_is_that_of_masked_dynamic_and_settled(all_candidates, data):
  found = {name: c.measured(data) for name, c in all_candidates.items()}
  for name in ("masked", "dynamic", "settled"):
    # With E = 0, on the same data.
    assert found[name]["accuracy"] == 1, name
  assert found["masked"]["macs"] == found["dynamic"]["macs"]
  assert found["settled"]["macs"] <= found["dynamic"]["macs"]
  assert found["fixed"]["macs"] < found["all_open"]["macs"]
  assert pgates.gated_calls(all_candidates["fixed"].model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("all_open", marks=pytest.mark.slow),
        pytest.param("masked", marks=pytest.mark.slow),
        "dynamic",
        "fixed",
    ],
)
@pytest.mark.parametrize("format", ["saved_model", "tflite"])
def test_a_file_computes_what_keras_does(
    all_candidates, name, format, tmp_path
):
  candidate, images = all_candidates[name], networks.images(3)
  path = tmp_path / "file"
  candidate.write(path, format)
  expected = tf.nn.softmax(_logits(candidate, images))
  if format == "saved_model":
    outputs = engines.saved_model(path)(tf.constant(images), tf.fill([3], 0.5))
    found = outputs["probabilities"]
  else:
    runner = litert.Interpreter(str(path)).get_signature_runner()
    gated = name in ("masked", "dynamic")
    given = {"threshold": np.float32(0.5)} if gated else {}
    found = np.concatenate(
        [runner(images=x[None], **given)["probabilities"] for x in images]
    )
  np.testing.assert_allclose(found, expected, atol=1e-4)


def test_removed_does_for_an_image_what_its_gates_say(model):
  images = networks.images()
  outputs = pgates.with_strategy(model, "map").predict(images, verbose=0)
  for image, gates, logits in zip(
      images[:3], outputs["gates"], outputs["logits"], strict=False
  ):
    candidate = candidates.removed(model, gates > 0)
    np.testing.assert_allclose(
        _logits(candidate, image[None])[0], logits, atol=1e-4
    )
    assert all(
        block.gate is None for block in pgates.gated_calls(candidate.model)
    )
