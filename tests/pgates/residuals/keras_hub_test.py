"""Tests of networks of KerasHub, where it is installed.

See requirements_keras_hub.txt. The oracle of a closed gate is the network
itself, the weights of the last layer of the branch being 0.
"""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import residual_networks as networks

keras_hub = pytest.importorskip("keras_hub")
models = keras_hub.models


def _resnet(size=None, **kwargs):
  return models.ResNetBackbone(
      input_conv_filters=[64],
      input_conv_kernel_sizes=[3],
      stackwise_num_filters=[64, 64],
      stackwise_num_blocks=[2, 2],
      stackwise_num_strides=[1, 2],
      image_shape=(size, size, 3),
      **kwargs,
  )


def _efficientnet(kinds):
  count = len(kinds)
  return models.EfficientNetBackbone(
      stackwise_kernel_sizes=[3] * count,
      stackwise_num_repeats=[2] * count,
      stackwise_input_filters=[8] * count,
      stackwise_output_filters=[8] * count,
      stackwise_expansion_ratios=[2] * count,
      stackwise_squeeze_and_excite_ratios=[0.25] * count,
      stackwise_strides=[1, *[2] * (count - 1)],
      stackwise_block_types=kinds,
      width_coefficient=1.0,
      depth_coefficient=1.0,
      num_features=16,
  )


def _mobilenet():
  return models.MobileNetBackbone(
      stackwise_expansion=[[16, 24], [24, 24]],
      stackwise_num_blocks=[2, 2],
      stackwise_num_filters=[[8, 8], [16, 16]],
      stackwise_kernel_size=[[3, 3], [5, 5]],
      stackwise_num_strides=[[2, 1], [2, 1]],
      stackwise_se_ratio=[[None, None], [0.25, 0.25]],
      stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
      stackwise_padding=[[1, 1], [2, 2]],
      output_num_filters=32,
      depthwise_filters=16,
      depthwise_stride=1,
      depthwise_residual=True,
      last_layer_filter=16,
      squeeze_and_excite=0.5,
      input_num_filters=16,
  )


def _vit():
  return models.ViTBackbone(
      image_shape=(16, 16, 3),
      patch_size=4,
      num_layers=2,
      num_heads=2,
      hidden_dim=8,
      mlp_dim=16,
      dropout_rate=0.1,
  )


NETWORKS = {
    "ResNet": (
        lambda: _resnet(block_type="basic_block"),
        {"identity": 3, "projection": 1},
    ),
    "ResNet of bottlenecks": (
        lambda: _resnet(block_type="bottleneck_block"),
        {"identity": 2, "projection": 2},
    ),
    "ResNetV2": (
        lambda: _resnet(block_type="bottleneck_block", use_pre_activation=True),
        {"identity": 2, "projection": 2},
    ),
    "EfficientNet": (lambda: _efficientnet(["v1", "v1"]), {"identity": 3}),
    "EfficientNetV2": (
        lambda: _efficientnet(["fused", "unfused", "cba"]),
        {"identity": 4},
    ),
    "MobileNet": (_mobilenet, {"identity": 3}),
    "ViT": (_vit, {"identity": 4}),
}


@pytest.fixture(name="network", scope="module", params=NETWORKS)
def _network(request):
  """(network, its gated form, images)."""
  keras.utils.set_random_seed(1)
  make, kinds = NETWORKS[request.param]
  model = networks.unsettled(make())
  found = [row for row in pgates.find_residuals(model) if row.gateable]
  assert collections.Counter(row.kind for row in found) == kinds
  gated = pgates.gate_residuals(model, min_share=0)
  names = [block.name for block in pgates.gated_blocks(gated)]
  assert names == [row.name for row in found]
  size = model.inputs[0].shape[1] or 24
  images = np.random.default_rng(0).uniform(size=(5, size, size, 3))
  return model, gated, images.astype("float32")


def test_all_open_is_the_given_network_bit_for_bit(network):
  model, gated, images = network
  opened = pgates.with_strategy(gated, "always_open")(images)
  np.testing.assert_array_equal(opened["logits"], model(images))


def test_closed_gate_is_the_network_without_that_branch(network):
  model, gated, images = network
  whole = np.asarray(model(images))
  blocks = pgates.gated_blocks(gated)
  for index, block in enumerate(blocks):
    others = set(range(len(blocks))) - {index}
    pruned = pgates.prune(gated, [index], always_open=others)
    received = pruned(images)["logits"]
    last = [layer for layer in block.branch.layers if layer.trainable_weights]
    before = last[-1].get_weights()
    for variable in last[-1].trainable_weights:
      variable.assign(0 * variable)
    expected = np.asarray(model(images))
    last[-1].set_weights(before)
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-5)
    assert np.max(np.abs(whole - expected)) > 1e-4, block.name


def test_routed_is_masked(network):
  _, gated, images = network
  networks.spread(gated, images)
  masked = pgates.with_strategy(gated, "map")(images)
  routed = pgates.with_strategy(gated, "map", execution="routed")(images)
  assert 0.2 < np.mean(masked["gates"]) < 0.8
  np.testing.assert_array_equal(routed["gates"], masked["gates"])
  np.testing.assert_allclose(
      routed["logits"], masked["logits"], rtol=1e-4, atol=1e-4
  )


def test_every_gate_has_a_finite_gradient(network):
  _, gated, images = network
  with tf.GradientTape() as tape:
    value = tf.reduce_mean(gated(images, training=True)["logits"] ** 2)
  blocks = pgates.gated_blocks(gated)
  found = tape.gradient(
      value, [block.gate.trainable_variables for block in blocks]
  )
  for block, gradients in zip(blocks, found, strict=True):
    assert all(np.all(np.isfinite(each)) for each in gradients), block.name
    assert any(np.any(np.asarray(each) != 0) for each in gradients), block.name


def test_it_is_saved_and_loaded(network, tmp_path):
  model, gated, images = network
  if isinstance(model, models.ViTBackbone):
    # KerasHub 0.32 writes a config of this layer that it cannot read.
    keras.Model(model.input, model.output).save(tmp_path / "plain.keras")
    with pytest.raises(TypeError, match="ViTPatchingAndEmbedding"):
      keras.models.load_model(tmp_path / "plain.keras")
    return
  gated.save(tmp_path / "gated.keras")
  again = pgates.load_model(tmp_path / "gated.keras")
  expected = gated(images, training=False)
  for name, value in again(images, training=False).items():
    np.testing.assert_array_equal(value, expected[name], err_msg=name)


CLASSIFIERS = {
    "ResNet": (
        models.ResNetImageClassifier,
        lambda: _resnet(block_type="basic_block"),
        4,
    ),
    "ViT": (models.ViTImageClassifier, _vit, 4),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifier_that_nests_a_backbone_is_gated_within(name):
  kind, make, count = CLASSIFIERS[name]
  keras.utils.set_random_seed(1)
  model = kind(backbone=make(), num_classes=10, preprocessor=None)
  gated = pgates.gate_residuals(model, min_share=0)
  assert len(pgates.gated_blocks(gated)) == count
  images = np.random.default_rng(0).uniform(size=(4, 16, 16, 3))
  opened = pgates.with_strategy(gated, "always_open")(images)
  np.testing.assert_array_equal(opened["logits"], model(images))
  assert opened["logits"].shape == (4, 10)
  gated.compile("sgd", rate_loss=pgates.TargetRateLoss(0.5), run_eagerly=True)
  logs = gated.train_on_batch(images, np.arange(4), return_dict=True)
  assert np.isfinite(logs["loss"])


def test_multiply_adds_are_known_where_sizes_are():
  found = pgates.find_residuals(_vit())
  patches, tokens = 16, 17
  block = found[1].macs
  assert block == tokens * (8 * 16 + 16 * 8)
  attention = 4 * tokens * 8 * 8 + 2 * tokens * tokens * 8
  assert found[0].macs == attention
  assert found.macs == patches * 4 * 4 * 3 * 8 + 2 * (attention + block)
