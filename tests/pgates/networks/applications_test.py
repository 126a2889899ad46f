"""Tests of `pgates.networks.applications`.

The oracle is the network as Keras builds it, of the same weights, on images
that its own `preprocess_input` has prepared.
"""

import inspect
import re

import keras
import numpy as np
import pytest

import pgates
from pgates.networks import applications
from tests.helpers import residual_networks

NARROW = {"alpha": 0.35}
# Name, arguments, module of `preprocess_input`, and channels of the images.
QUICK = ("MobileNetV2", NARROW, "mobilenet_v2", 1)
SLOW = [
    ("MobileNetV3Small", {"minimalistic": True}, "mobilenet_v3", 3),
    ("ResNet50", {}, "resnet50", 1),
    ("ResNet50", {}, "resnet50", 3),
    ("ResNet50V2", {}, "resnet_v2", 3),
    ("EfficientNetB0", {}, "efficientnet", 1),
    ("EfficientNetV2B0", {}, "efficientnet_v2", 3),
    ("ConvNeXtTiny", {}, "convnext", 1),
]
EACH = [QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW)]


def _layers(model):
  """The layers of a network, those in its blocks too."""
  for layer in model.layers:
    if isinstance(layer, pgates.GatedResidual):
      for part in (layer.branch, layer.shortcut):
        yield from [] if part is None else part.layers
    else:
      yield layer


def _by_name(layers):
  # Keras counts the layers that have no name of their own.
  return {re.sub(r"^(normalization)_\d+$", r"\1", x.name): x for x in layers}


def _images(channels):
  generator = np.random.default_rng(4)
  return generator.uniform(0, 255, (3, 32, 32, channels)).astype("float32")


def _logits(model, images):
  outputs = model(images, training=False)
  return np.asarray(outputs["logits"] if isinstance(outputs, dict) else outputs)


@pytest.mark.parametrize("name, arguments, module, channels", EACH)
def test_network_is_the_application_on_preprocessed_images(
    name, arguments, module, channels, tmp_path
):
  oracle = residual_networks.application(
      name, 32, classifier_activation=None, **arguments
  )
  model = applications.build(
      name,
      10,
      gate="none",
      input_shape=(32, 32, channels),
      arguments=arguments,
  )
  assert model.name == name and model.input_shape == (None, 32, 32, channels)
  assert {block.gate for block in pgates.gated_blocks(model)} == {None}
  theirs = _by_name(oracle.layers)
  for layer_name, layer in _by_name(_layers(model)).items():
    if layer.weights:
      layer.set_weights(theirs[layer_name].get_weights())
  images = _images(channels)
  prepared = np.repeat(images, 3, axis=-1) if channels == 1 else images.copy()
  preprocess = getattr(keras.applications, module).preprocess_input
  expected = _logits(oracle, preprocess(prepared))
  assert np.ptp(expected, axis=0).max() > 1e-2
  model.save(tmp_path / "model.keras")
  for each in (model, pgates.load_model(tmp_path / "model.keras")):
    received = _logits(each, images)
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-5)
  assert model.macs.dense == pgates.find_residuals(oracle).macs


@pytest.fixture(name="narrow", scope="module")
def _narrow():
  keras.config.set_dtype_policy("mixed_bfloat16")
  try:
    yield applications.build(
        "MobileNetV2",
        7,
        gate="independent",
        input_shape=(32, 32, 1),
        always_open=[1],
        synchronized=True,
        arguments=NARROW,
    )
  finally:
    keras.config.set_dtype_policy("float32")


def test_gates_are_of_the_kind_and_where_they_are_asked_for(narrow):
  kinds = [type(block.gate) for block in pgates.gated_blocks(narrow)]
  assert kinds[1] is type(None) and len(kinds) > 4
  assert {*kinds[:1], *kinds[2:]} == {pgates.DataIndependentGate}
  assert narrow.output["logits"].shape == (None, 7)


def test_batch_norms_average_as_ours_and_are_synchronised(narrow):
  norms = [
      layer
      for layer in _layers(narrow)
      if isinstance(layer, keras.layers.BatchNormalization)
  ]
  assert len(norms) == 52
  assert {type(norm) for norm in norms} == {pgates.BatchNormalization}
  assert {norm.momentum for norm in norms} == {0.9}
  assert {norm.epsilon for norm in norms} == {1e-3}  # The application's.
  assert {norm.synchronized for norm in norms} == {True}


def test_logits_are_float32_under_every_policy(narrow):
  assert narrow.output["logits"].dtype == "float32"
  assert narrow.get_layer("Conv1").compute_dtype == "bfloat16"


def test_all_functions_of_keras_are_known():
  found = applications.names()
  assert {"MobileNetV2", "ResNet50", "ConvNeXtTiny", "VGG16"} <= set(found)
  assert "mobilenet_v2" not in found
  for name in found:
    function = getattr(keras.applications, name)
    parameters = inspect.signature(function).parameters
    assert {
        *("weights", "classes", "classifier_activation", "input_shape"),
    } <= set(parameters)
    module = function.__module__.rpartition(".")[-1]
    assert getattr(keras.applications, module).preprocess_input


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("MobileNetV2", {"alpha": 1}),
        ("MobileNet", {"depth_multiplier": 2, "dropout": 0.5}),
        ("MobileNetV3Small", {"minimalistic": True}),
        ("ResNet50", {}),
    ],
)
def test_arguments_of_an_application_are_accepted(name, arguments):
  applications.check_arguments(name, arguments)


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("MobileNetV2", {"depth": 2}, "takes alpha=1.0. Received: depth=2"),
        ("ResNet50", {"alpha": 0.5}, "takes no arguments. Received: alpha"),
        ("MobileNetV2", {"weights": "imagenet"}, "Received: weights=imagenet"),
        ("MobileNetV2", {"alpha": "wide"}, "type float, .*alpha='wide'"),
        ("MobileNetV2", {"alpha": True}, "type float, .*alpha=True"),
        (
            "MobileNet",
            {"depth_multiplier": 1.5},
            "multiplier of type int",
        ),
        ("MobileNetV3Small", {"minimalistic": 1}, "type bool.*minimalistic=1"),
    ],
)
def test_other_arguments_are_refused(name, arguments, message):
  with pytest.raises(ValueError, match=message):
    applications.check_arguments(name, arguments)


@pytest.mark.parametrize(
    "name, options, message",
    [
        (
            "MobileNetV2",
            {"input_shape": (28, 28, 1), "arguments": NARROW},
            r"no MobileNetV2 for images of \(28, 28\), alpha=0.35: .*32x32",
        ),
        ("MobileNetV2", {"input_shape": (32, 32, 4)}, "1 or 3 channels"),
        (
            "MobileNet",
            {"input_shape": (32, 32, 1), "arguments": {"alpha": 0.25}},
            "MobileNet has no residual block",
        ),
        (
            "MobileNetV2",
            {"input_shape": (32, 32, 3), "arguments": NARROW}
            | {"always_open": [99]},
            r"`always_open` holds indices.*Received: \[99\]",
        ),
    ],
)
def test_network_that_cannot_be_is_an_error(name, options, message):
  with pytest.raises(ValueError, match=message):
    applications.build(name, 10, **options)
