"""Tests of pgates/networks/resnet_builder.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

SMALL = (8, 8, 3)


def num_trainable(model):
  return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def images(count=3, shape=SMALL, seed=0):
  generator = np.random.default_rng(seed)
  return generator.uniform(0, 255, (count, *shape)).astype(np.float32)


def gate_layers(model):
  return [block.gate for block in pgates.gated_blocks(model)]


def set_logits(model, logits):
  """Sets the logits of data-independent gates."""
  for gate, logit in zip(gate_layers(model), logits, strict=True):
    if gate is not None:
      gate.logit.assign(logit)


def convolve(x, kernel, *, strides, padding):
  """Cross-correlation as of PyTorch: zeros on all four sides."""
  x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
  size = kernel.shape[0]
  height, width = ((n - size) // strides + 1 for n in x.shape[1:3])
  out = np.zeros((len(x), height, width, kernel.shape[-1]))
  for i in range(height):
    for j in range(width):
      top, left = i * strides, j * strides
      patch = x[:, top : top + size, left : left + size]
      out[:, i, j] = np.tensordot(patch, kernel, axes=3)
  return out


def up_to(model, name):
  """The part of a model that ends in a layer."""
  return keras.Model(model.input, model.get_layer(name).output)


def test_stem_pads_symmetrically():
  model = pgates.ResNet18(
      3, gate="none", input_shape=(18, 16, 3), normalization=None
  )
  x = images(2, (18, 16, 3)) / 255
  kernel = np.asarray(model.get_layer("stem_conv").kernel)
  np.testing.assert_allclose(
      up_to(model, "stem_conv")(x),
      convolve(x, kernel, strides=2, padding=3),
      atol=1e-4,
  )


def test_stem_pool_pads_symmetrically():
  model = pgates.ResNet18(
      3, gate="none", input_shape=(32, 32, 3), normalization=None
  )
  x = images(2, (32, 32, 3)) - 128
  before = np.asarray(up_to(model, "stem_relu")(x))
  padded = np.pad(
      before, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf
  )
  expected = np.max(
      [
          padded[:, i : i + 16 : 2, j : j + 16 : 2]
          for i in range(3)
          for j in range(3)
      ],
      axis=0,
  )
  np.testing.assert_array_equal(up_to(model, "stem_pool")(x), expected)


@pytest.mark.parametrize(
    "make, strided",
    [(pgates.ResNet18, "conv1"), (pgates.ResNet50, "conv2")],
)
def test_stage_first_block_strides_its_3x3_with_symmetric_padding(
    make, strided
):
  model = make(3, gate="none", input_shape=(32, 32, 3))
  block = model.get_layer("stage2_block0")
  strides = {
      layer.name: layer.strides
      for layer in block.branch.layers
      if isinstance(layer, keras.layers.Conv2D)
  }
  conv = block.branch.get_layer(strided)
  assert conv.kernel_size == (3, 3)
  assert strides.pop(strided) == (2, 2)
  assert set(strides.values()) == {(1, 1)}
  layers = block.branch.layers
  x = images(2, (6, 6, conv.kernel.shape[2]))
  y = x
  for layer in layers[layers.index(conv) - 1 : layers.index(conv) + 1]:
    y = layer(y)
  expected = convolve(x, np.asarray(conv.kernel), strides=2, padding=1)
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("normalization", ["imagenet", "unit"])
def test_normalization_takes_images_of_0_to_255(normalization):
  model = pgates.CifarResNet(8, input_shape=SMALL, normalization=normalization)
  expected = images() / 255
  if normalization == "imagenet":
    expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  received = up_to(model, "normalization")(images())
  np.testing.assert_allclose(received, expected, atol=1e-5)


def test_without_normalization_the_stem_reads_the_images():
  model = pgates.CifarResNet(8, input_shape=SMALL, normalization=None)
  kernel = np.asarray(model.get_layer("stem_conv").kernel)
  np.testing.assert_allclose(
      up_to(model, "stem_conv")(images()),
      convolve(images(), kernel, strides=1, padding=1),
      rtol=1e-4,
      atol=1e-2,
  )


def forward_by_hand(model, x, is_open):
  """Calls a CIFAR network's layers in training mode, gates given by block."""
  for name in ("normalization", "stem_conv", "stem_bn", "stem_relu"):
    kwargs = {"training": True} if name == "stem_bn" else {}
    x = model.get_layer(name)(x, **kwargs)
  for block, ran in zip(pgates.gated_blocks(model), is_open, strict=True):
    shortcut = x if block.shortcut is None else block.shortcut(x, training=True)
    branch = block.branch(x, training=True) if ran else 0.0
    x = tf.nn.relu(shortcut + branch)
  return model.get_layer("classifier")(tf.reduce_mean(x, axis=(1, 2)))


def test_always_open_blocks_run_in_training_and_carry_no_gate():
  model = pgates.CifarResNet(
      14, gate="independent", always_open=[1, 4], input_shape=SMALL
  )
  set_logits(model, [-100.0] * 6)
  expected = [0, 1, 0, 0, 1, 0]
  assert [gate is None for gate in gate_layers(model)] == [
      bool(ran) for ran in expected
  ]
  outputs = model(images(4), training=True)
  np.testing.assert_array_equal(outputs["gates"], [expected] * 4)
  np.testing.assert_allclose(
      outputs["logits"], forward_by_hand(model, images(4), expected), atol=1e-5
  )
  assert not [
      v for v in model.get_layer("stage1_block1").weights if "gate" in v.path
  ]


def test_always_open_blocks_cost_no_gate():
  every = pgates.CifarResNet(14, input_shape=SMALL)
  some = pgates.CifarResNet(14, input_shape=SMALL, always_open=(0, 5))
  assert some.macs.branches == every.macs.branches
  assert some.macs.gates == (0, *every.macs.gates[1:5], 0)
  # The first block reads 16 channels, the last one 64.
  saved = (16 * 16 + 65) + (16 * 64 + 65)
  assert num_trainable(every) - num_trainable(some) == saved


def test_callable_gate_is_asked_for_each_block():
  asked = []

  def gate(block_index, num_blocks):
    asked.append((block_index, num_blocks))
    if block_index % 2:
      return None
    return pgates.DataIndependentGate(
        initial_probability=0.1 + 0.1 * block_index
    )

  model = pgates.CifarResNet(14, gate=gate, always_open=(2,), input_shape=SMALL)
  assert asked == [(i, 6) for i in (0, 1, 3, 4, 5)]
  logits = np.asarray(model(images(1))["gate_logits"])[0]
  np.testing.assert_array_equal(logits[[1, 2, 3, 5]], [100] * 4)
  probabilities = 1 / (1 + np.exp(-logits[[0, 4]]))
  np.testing.assert_allclose(probabilities, [0.1, 0.5], rtol=1e-5)


def test_synchronized_reaches_every_batch_norm():
  model = pgates.ResNet18(2, synchronized=True, input_shape=(32, 32, 3))
  norms = [
      layer
      for layer in model._flatten_layers()
      if isinstance(layer, keras.layers.BatchNormalization)
  ]
  # The stem, two a branch, three projections, one a gate.
  assert len(norms) == 1 + 2 * 8 + 3 + 8
  assert all(norm.synchronized for norm in norms)


@pytest.mark.parametrize("index", [3, -1])
def test_always_open_of_no_block_is_refused(index):
  with pytest.raises(ValueError, match=rf"0 to 2.*\[{index}\]"):
    pgates.CifarResNet(8, always_open=(0, index))


def test_imagenet_normalization_is_for_three_channels():
  with pytest.raises(ValueError, match=r"3 channels.*\(8, 8, 1\)"):
    pgates.ResNet18(2, input_shape=(8, 8, 1))
  gray = pgates.CifarResNet(8, input_shape=(8, 8, 1))
  assert gray(images(2, (8, 8, 1)))["logits"].shape == (2, 10)


def test_unknown_normalization_and_no_classes_are_refused():
  with pytest.raises(ValueError, match="`normalization`.*'units'"):
    pgates.CifarResNet(8, normalization="units")
  with pytest.raises(ValueError, match="`num_classes`.*0"):
    pgates.CifarResNet(8, 0)
