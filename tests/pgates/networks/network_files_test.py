"""Tests of `pgates.networks.network_files`.

The oracle is the network of the file, on images that are scaled by hand.
"""

import keras
import numpy as np
import pytest

import pgates
from pgates.networks import network_files
from tests.helpers import parameters
from tests.helpers import residual_networks

layers = keras.layers

_MEAN, _DEVIATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
# Of red, green and blue in [0, 255], by the formulas of Keras's documentation.
BY_HAND = {
    "pixels": lambda x: x,
    "unit": lambda x: x / 255,
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - _MEAN) / _DEVIATION,
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
}


@pytest.fixture(name="toy", scope="module")
def _toy(tmp_path_factory):
  """A network that ends with a softmax, and its file."""
  network = residual_networks.toy()
  network.layers[3].trainable = False
  path = tmp_path_factory.mktemp("toy") / "toy.keras"
  network.save(path)
  return network, str(path)


def _saved(network, tmp_path):
  path = tmp_path / "network.keras"
  network.save(path)
  return str(path)


def _images(count=5, size=8, channels=3):
  shape = (count, size, size, channels)
  images = np.random.default_rng(4).uniform(0, 255, shape)
  return images.astype(np.float32)


def _build(path, **options):
  options = {"input_shape": (8, 8, 3), "gate": "none"} | options
  return network_files.build(path, 10, **options)


@pytest.mark.parametrize(
    "scaling", parameters.slow_but(["torch", "caffe"], BY_HAND)
)
def test_images_are_scaled_as_the_network_was_trained(scaling, toy):
  network, path = toy
  model = _build(path, input_scaling=scaling)
  features = keras.Model(network.input, network.layers[-1].input)
  kernel, bias = network.layers[-1].get_weights()
  scaled = BY_HAND[scaling](_images())
  expected = features.predict_on_batch(scaled) @ kernel + bias
  outputs = model(_images(), training=False)
  np.testing.assert_allclose(outputs["logits"], expected, rtol=1e-3, atol=1e-4)
  assert np.ptp(expected, axis=0).max() > 0.1


def test_scalings_are_those_of_the_channels():
  assert {*network_files.scalings(3)} == {*BY_HAND}
  assert network_files.scalings(1) == ["pixels", "unit", "tf"]


@pytest.mark.parametrize(
    "gate", [pytest.param("none", marks=pytest.mark.slow), "dependent"]
)
def test_it_is_saved_and_loaded_with_its_scaling(gate, toy, tmp_path):
  model = _build(toy[1], input_scaling="torch", gate=gate)
  model.save(tmp_path / "model.keras")
  loaded = pgates.load_model(tmp_path / "model.keras")
  for name, value in model(_images(), training=False).items():
    np.testing.assert_allclose(
        loaded(_images(), training=False)[name], value, rtol=1e-5, atol=1e-6
    )


def test_gated_network_with_all_gates_open_is_the_network(toy):
  network, path = toy
  model = _build(path, input_scaling="unit", gate="dependent", always_open=[1])
  gates = [block.gate for block in pgates.gated_blocks(model)]
  assert [gate is None for gate in gates] == [False, True, False, False]
  opened = pgates.with_strategy(model, "always_open")
  np.testing.assert_allclose(
      keras.ops.softmax(opened(_images())["logits"]),
      network.predict_on_batch(_images() / 255),
      rtol=1e-4,
      atol=1e-6,
  )


def test_every_layer_is_trained_and_batch_norms_average_as_ours(toy):
  network, path = toy
  assert not network.layers[3].trainable
  model = _build(path, input_scaling="unit", synchronized=True)
  found = list(model._flatten_layers())
  assert all(layer.trainable for layer in found)
  norms = [x for x in found if isinstance(x, layers.BatchNormalization)]
  assert len(norms) == 5
  for norm in norms:
    assert type(norm) is pgates.BatchNormalization
    assert norm.momentum == 0.9 and norm.synchronized


@pytest.mark.parametrize(
    "layer",
    parameters.slow_after(
        1, [layers.Rescaling(1 / 255), layers.Normalization(mean=3, variance=2)]
    ),
)
def test_network_that_scales_images_itself_takes_pixels(layer, toy, tmp_path):
  images = keras.Input((8, 8, 3))
  path = _saved(keras.Model(images, toy[0](layer(images))), tmp_path)
  network = network_files.load(path, num_classes=10, new_head=False)
  assert network_files.scaling_of(network, None) == "pixels"
  assert network_files.scaling_of(network, "unit") == "unit"
  assert network_files.scaling_of(toy[0], None) is None
  np.testing.assert_allclose(
      keras.ops.softmax(_build(path)(_images(), training=False)["logits"]),
      toy[0](layer(_images()), training=False),
      rtol=1e-4,
      atol=1e-6,
  )


def test_network_of_any_size_takes_the_size_of_the_images(tmp_path):
  network = residual_networks.toy(None)
  path = _saved(network, tmp_path)
  model = _build(path, input_shape=(12, 12, 3), input_scaling="pixels")
  assert model.input_shape == (None, 12, 12, 3)
  np.testing.assert_allclose(
      keras.ops.softmax(model(_images(size=12), training=False)["logits"]),
      network.predict_on_batch(_images(size=12)),
      rtol=1e-4,
      atol=1e-6,
  )


@pytest.mark.parametrize("nested", parameters.slow_after(1, [False, True]))
def test_new_head_is_fresh_and_the_rest_is_kept(nested, toy, tmp_path):
  network, path = toy
  if nested:
    images = keras.Input((8, 8, 3))
    path = _saved(keras.Model(images, network(images)), tmp_path)
  model = network_files.build(
      path,
      4,
      input_scaling="pixels",
      new_head=True,
      input_shape=(8, 8, 3),
      gate="none",
  )
  logits = model(_images(), training=False)["logits"]
  assert logits.shape == (5, 4)
  features = keras.Model(network.input, network.layers[-2].output)
  (head,) = (
      layer
      for layer in model._flatten_layers()
      if isinstance(layer, layers.Dense) and layer.units == 4
  )
  np.testing.assert_allclose(
      logits,
      features.predict_on_batch(_images()) @ head.kernel.numpy(),
      rtol=1e-3,
      atol=1e-3,
  )


def _ends(make):
  images = keras.Input((8, 8, 3))
  x = layers.GlobalAveragePooling2D()(layers.Conv2D(10, 3)(images))
  return keras.Model(images, make(x))


@pytest.mark.parametrize(
    "make, ending",
    [
        (layers.Dense(10), "logits"),
        (layers.Dense(10, activation="softmax"), "probabilities"),
        (lambda x: layers.Softmax()(layers.Dense(10)(x)), "probabilities"),
        (lambda x: keras.ops.softmax(layers.Dense(10)(x)), "probabilities"),
        (layers.Dense(10, activation="relu"), "logits"),
    ],
    ids=["none", "activation", "layer", "operation", "relu"],
)
def test_ending_is_found_out(make, ending):
  assert network_files.ending(_ends(make)) == ending


def test_probabilities_made_in_another_way_are_refused():
  def normalized(x):
    exponents = keras.ops.exp(layers.Dense(10)(x))
    return exponents / keras.ops.sum(exponents, axis=-1, keepdims=True)

  with pytest.raises(ValueError, match="not with a softmax of Keras"):
    network_files.ending(_ends(normalized))


def _two_inputs():
  images, more = keras.Input((8, 8, 3)), keras.Input((3,))
  pooled = layers.GlobalAveragePooling2D()(images)
  return keras.Model([images, more], layers.Dense(10)(pooled + more))


def _regression():
  return _ends(layers.Dense(1))


def _no_residuals():
  return _ends(layers.Dense(10))


def _of_vectors():
  inputs = keras.Input((5,))
  return keras.Model(inputs, layers.Dense(10)(inputs))


@pytest.mark.parametrize(
    "make, options, message",
    [
        (_two_inputs, {}, "does not take one batch of images"),
        (_of_vectors, {}, r"It takes: \[\(None, 5\)\]"),
        (_regression, {}, r"10 classes, .*gives \[\(None, 1\)\].*--new_head"),
        (_no_residuals, {}, "no residual block that can be gated"),
        (
            residual_networks.toy,
            {"input_shape": (8, 8, 1)},
            r"takes images of .*\(8, 8, 3\). Received: \(8, 8, 1\)",
        ),
        (
            residual_networks.toy,
            {"input_shape": (9, 8, 3)},
            "Give its side as --image_size",
        ),
        (
            residual_networks.toy,
            {"input_scaling": None},
            "input_scaling must be one of .* Received: None",
        ),
        (
            lambda: _ends(lambda x: keras.ops.concatenate([x[:, :4]] * 3)),
            {"new_head": True},
            "does not end with a dense layer",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, options, message, tmp_path):
  path = _saved(make(), tmp_path)
  with pytest.raises(ValueError, match=message):
    _build(path, **{"input_scaling": "pixels", **options})


def test_a_missing_file_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match="There is no .*none.keras"):
    _build(str(tmp_path / "none.keras"), input_scaling="unit")
