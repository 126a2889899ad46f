"""Tests of `pgates.networks.cascades`."""

import keras
import numpy as np
import pytest

import pgates
from pgates.networks import cascades
from tests.helpers import residual_networks

pytestmark = pytest.mark.usefixtures("eagerly")

_SHAPE = (8, 8, 3)


def _plain(depth, gate="none", **kwargs):
  kwargs = {"input_shape": _SHAPE, "num_classes": 5, **kwargs}
  model = pgates.CifarResNet(depth, gate=gate, **kwargs)
  return residual_networks.unsettled(model)


@pytest.fixture(name="networks", scope="module")
def _networks():
  keras.utils.set_random_seed(0)
  return _plain(8), _plain(14)


@pytest.fixture(name="images", scope="module")
def _images():
  return (
      np.random.default_rng(1).uniform(0, 255, (12, *_SHAPE)).astype("float32")
  )


def _answers(networks, images):
  """Of each network, and which images the first is least sure of."""
  first, second = (
      model.predict(images, verbose=0)["logits"] for model in networks
  )
  probabilities = np.asarray(keras.ops.softmax(first))
  return first, second, probabilities.max(axis=1)


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_second_network_is_asked_where_the_first_is_not_sure(
    execution, networks, images
):
  first, second, sure = _answers(networks, images)
  threshold = float(np.median(1 - sure))
  decided = pgates.with_strategy(
      pgates.cascade(*networks), f"threshold:{threshold}", execution=execution
  )
  outputs = decided.predict(images, verbose=0)
  asked = 1 - sure > threshold
  assert 0 < asked.sum() < len(images)
  np.testing.assert_array_equal(outputs["gates"][:, 0], asked)
  expected = np.where(asked[:, None], (first + second) / 2, first)
  np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-4, atol=1e-4)


def test_costs_are_those_of_the_networks(networks):
  macs = pgates.cascade(*networks).macs
  first, second = (pgates.count_macs(each).dense for each in networks)
  assert macs == pgates.ModelMacs(
      names=(cascades.SECOND,), fixed=first, gates=(0,), branches=(second,)
  )


def test_a_file_keeps_it(networks, images, tmp_path):
  model = pgates.cascade(*networks)
  model.save(tmp_path / "cascade.keras")
  loaded = pgates.load_model(tmp_path / "cascade.keras")
  ours, theirs = (m.predict(images, verbose=0) for m in (model, loaded))
  for name in ours:
    np.testing.assert_array_equal(ours[name], theirs[name])


def test_networks_of_keras_make_one(images):
  networks = [
      pgates.gate_residuals(
          residual_networks.inverted_residuals(8, channels=3, blocks=blocks),
          gate="none",
          min_share=0,
      )
      for blocks in (1, 3)
  ]
  logits = pgates.cascade(*networks).predict(images, verbose=0)["logits"]
  assert logits.shape == (12, 10)


@pytest.mark.parametrize(
    "first, second, message",
    [
        ((14, {}), (8, {}), "must be the cheaper one"),
        ((8, {}), (14, {"num_classes": 4}), "the same classes"),
        ((8, {}), (14, {"input_shape": (16, 16, 3)}), "the same images"),
        (
            (8, {"gate": "dependent"}),
            (14, {}),
            "no gates of its own.*stage1_block0",
        ),
    ],
)
def test_what_does_not_fit_is_refused(first, second, message):
  (shallow, one), (deep, two) = first, second
  with pytest.raises(ValueError, match=message):
    pgates.cascade(_plain(shallow, **one), _plain(deep, **two))


def test_network_without_logits_is_refused(networks):
  images = keras.Input(_SHAPE)
  other = keras.Model(images, keras.layers.Flatten()(images))
  with pytest.raises(ValueError, match="gate_residuals.network, gate=.none"):
    pgates.cascade(other, networks[1])
