"""Small networks for the tests of exports: weights and statistics at random."""

import keras
import numpy as np

import pgates


def randomize(model, seed=0):
  """Sets weights and moving statistics so that nothing is neutral."""
  rng = np.random.default_rng(seed)
  for variable in model.weights:
    value = np.asarray(variable)
    if "seed" in variable.path or "temperature" in variable.path:
      continue
    noise = rng.normal(size=value.shape)
    if variable.path.endswith(("moving_variance", "gamma")):
      variable.assign(0.5 + np.abs(noise))
    elif value.ndim > 1:
      # Keeps the size of activations from layer to layer.
      variable.assign(noise / np.sqrt(np.prod(value.shape[:-1])))
    else:
      variable.assign(0.3 * noise)
  for block in pgates.gated_blocks(model):
    if isinstance(block.gate, pgates.DataDependentGate):
      block.gate.logit.kernel.assign(rng.normal(size=(16, 1)))
  return model


def resnet(**kwargs):
  """A randomized CIFAR ResNet-8 of 8 x 8 images."""
  return randomize(pgates.CifarResNet(8, input_shape=(8, 8, 3), **kwargs))


def user_network():
  """Somebody's network: functional and depthwise branches, no ResNet."""
  images = keras.Input((8, 8, 3), name="images")
  x = keras.layers.Rescaling(1 / 255)(images)
  x = keras.layers.Conv2D(6, 3, padding="same", use_bias=False)(x)
  x = keras.layers.BatchNormalization()(x)
  inner = keras.Input((8, 8, 6))
  y = keras.layers.Conv2D(6, 3, padding="same", activation="relu")(inner)
  y = keras.layers.BatchNormalization()(y)
  depthwise = keras.Sequential(
      [keras.layers.DepthwiseConv2D(3, padding="same"), keras.layers.ReLU()]
  )
  decisions = []
  for branch in (keras.Model(inner, y), depthwise):
    block = pgates.GatedResidual(branch, gate=pgates.DataDependentGate())
    x, *decision = block(x)
    decisions.append(decision)
  x = keras.layers.GlobalAveragePooling2D()(x)
  logits = keras.layers.Dense(10)(x)
  outputs = pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  return randomize(pgates.GatedModel(images, outputs))


def images(num=7, shape=(8, 8, 3), seed=0):
  """Random images, float32 in [0, 255]."""
  rng = np.random.default_rng(seed)
  scale = rng.uniform(0.2, 1, (num, 1, 1, shape[-1]))
  return (rng.uniform(0, 255, (num, *shape)) * scale).astype(np.float32)
