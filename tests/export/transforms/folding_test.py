"""Tests of `export.transforms.folding`."""

import itertools

import keras
import numpy as np
import pytest

from export.transforms import folding
import pgates
from tests.helpers import gated_networks
from tests.helpers import parameters


def _norms(layer):
  found = []
  for inner in getattr(layer, "layers", []):
    parts = [inner]
    if isinstance(inner, pgates.GatedResidual):
      parts = [part for part in (inner.branch, inner.shortcut) if part]
    for part in parts:
      found += _norms(part)
      if isinstance(part, keras.layers.BatchNormalization):
        found.append(part)
  return found


@pytest.mark.parametrize(
    "make",
    parameters.slow_after(
        1, [gated_networks.user_network, gated_networks.resnet]
    ),
)
def test_folded_network_answers_as_before(make):
  model, images = make(), gated_networks.images()
  folded = folding.fold_batch_norms(model)
  expected = model.predict(images, verbose=0)
  received = folded.predict(images, verbose=0)
  for name in expected:
    np.testing.assert_allclose(
        received[name], expected[name], rtol=1e-4, atol=1e-4
    )


def test_no_norm_is_left_in_a_resnet():
  model = gated_networks.resnet()
  assert len(_norms(model)) == 9
  assert not _norms(folding.fold_batch_norms(model))
  assert len(_norms(model)) == 9


def test_only_norms_right_behind_a_linear_layer_are_folded():
  folded = folding.fold_batch_norms(gated_networks.user_network())
  # The one behind a relu stays.
  assert len(_norms(folded)) == 1


def test_a_convolution_read_twice_keeps_its_norm():
  inputs = keras.Input((4, 4, 2))
  x = keras.layers.Conv2D(2, 1)(inputs)
  outputs = keras.layers.BatchNormalization()(x) + x
  model = gated_networks.randomize(keras.Model(inputs, outputs))
  folded = folding.fold_batch_norms(model)
  images = gated_networks.images(3, (4, 4, 2))
  assert len(_norms(folded)) == 1
  np.testing.assert_allclose(
      folded.predict(images, verbose=0), model.predict(images, verbose=0)
  )


def test_the_norm_of_a_gate_is_folded_too():
  model, images = gated_networks.resnet(), gated_networks.images()
  folded = folding.fold_batch_norms(model)
  gates = [
      [block.gate for block in pgates.gated_blocks(m)] for m in (model, folded)
  ]
  for gate, plain in zip(*gates, strict=True):
    # The kernels and biases of two dense layers; a temperature and a seed.
    assert len(plain.trainable_variables) == len(plain.variables) - 2 == 4
    features = images[..., :1] * np.linspace(
        0, 0.02, gate.hidden.kernel.shape[0]
    )
    np.testing.assert_allclose(plain(features), gate(features), rtol=1e-4)


def test_gates_of_other_classes_stay_as_they_are():
  class Own(pgates.DataDependentGate):
    pass

  branch = keras.Sequential([keras.layers.Dense(3)])
  block = pgates.GatedResidual(branch, gate=Own())
  block.build((None, 3))
  assert folding.fold_layer(block).gate is block.gate


@pytest.mark.parametrize(
    "groups, options",
    parameters.slow_but(
        [(1, {"center": False}), (2, {"scale": False})],
        itertools.product([1, 2], [{}, {"scale": False}, {"center": False}]),
    ),
)
def test_every_form_of_a_norm_folds(options, groups):
  model = keras.Sequential(
      [
          keras.Input((5, 5, 4)),
          keras.layers.Conv2D(6, 3, strides=2, groups=groups),
          keras.layers.BatchNormalization(epsilon=0.1, **options),
          keras.layers.Flatten(),
          keras.layers.Dense(3, use_bias=False),
          keras.layers.BatchNormalization(**options),
      ]
  )
  gated_networks.randomize(model)
  folded = folding.fold_layer(model)
  assert not _norms(folded)
  images = gated_networks.images(3, (5, 5, 4))
  np.testing.assert_allclose(
      folded.predict(images, verbose=0),
      model.predict(images, verbose=0),
      rtol=1e-4,
      atol=1e-3,
  )


def _enable_lora(model):
  generator = np.random.default_rng(0)
  for block in pgates.gated_blocks(model):
    layer = next(
        layer
        for layer in block.branch.layers
        if isinstance(layer, keras.layers.Conv2D)
    )
    layer.enable_lora(2)
    for variable in (layer.lora_kernel_a, layer.lora_kernel_b):
      variable.assign(generator.normal(0, 0.1, variable.shape))


def test_weights_of_lora_are_folded_in():
  model, images = gated_networks.resnet(), gated_networks.images()
  before = model(images, training=False)
  _enable_lora(model)
  expected = model(images, training=False)
  assert np.max(np.abs(expected["logits"] - before["logits"])) > 1e-2
  folded = folding.fold_batch_norms(model)
  assert not _norms(folded)
  received = folded(images, training=False)
  for name in expected:
    np.testing.assert_allclose(
        received[name], expected[name], rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
def test_quantized_layers_keep_their_norms():
  inputs = keras.Input((6,))
  x = keras.layers.Dense(4)(inputs)
  model = keras.Model(inputs, keras.layers.BatchNormalization()(x))
  gated_networks.randomize(model)
  model.quantize("int8")
  features = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
  folded = folding.fold_batch_norms(model)
  assert len(_norms(folded)) == 1
  np.testing.assert_array_equal(folded(features), model(features))
