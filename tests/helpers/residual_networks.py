"""Networks of others, made small, and what to hold gated ones against."""

import keras
import numpy as np
import tensorflow as tf

import pgates

layers = keras.layers


def application(name, size, **kwargs):
  """A network of `keras.applications`, its batch norms not as they start."""
  keras.utils.set_random_seed(1)
  return unsettled(
      getattr(keras.applications, name)(
          weights=None, classes=10, input_shape=(size, size, 3), **kwargs
      )
  )


def keras_cv_resnet_v2(kind, size=32):
  """The backbone of KerasCV, with a head of ten classes."""
  # It takes seconds to import, and most networks are not of it.
  import keras_cv

  keras.utils.set_random_seed(1)
  backbone = keras_cv.models.ResNetV2Backbone(
      stackwise_filters=[64, 32],
      stackwise_blocks=[2, 2],
      stackwise_strides=[1, 2],
      include_rescaling=False,
      input_shape=(size, size, 3),
      block_type=kind,
  )
  x = layers.GlobalAveragePooling2D()(backbone.output)
  return unsettled(keras.Model(backbone.input, layers.Dense(10)(x)))


def two_heads(size=32):
  """Class and box on a ResNet-50, and two of its inner features."""
  keras.utils.set_random_seed(1)
  base = keras.applications.ResNet50(
      weights=None, include_top=False, input_shape=(size, size, 3)
  )
  x = layers.GlobalAveragePooling2D()(base.output)
  taps = [
      base.get_layer(name).output
      for name in ("conv3_block2_1_relu", "conv4_block6_out")
  ]
  outputs = {
      "class": layers.Dense(10, name="class")(x),
      "box": layers.Dense(4, name="box")(x),
      "early": taps[0],
      "late": taps[1],
  }
  return unsettled(keras.Model(base.input, outputs))


def unsettled(model):
  """Gives a network weights and statistics that are not 0 and 1.

  Statistics are those of random images, so that no block fades away.
  """
  generator = np.random.default_rng(2)
  for variable in model.trainable_variables:
    name = variable.path.split("/")[-1]
    if name == "gamma":
      variable.assign(generator.uniform(0.7, 1.3, variable.shape))
    elif name in ("beta", "bias"):
      variable.assign(generator.normal(0, 0.1, variable.shape))
  for layer in model.layers:
    if type(layer).__name__ == "LayerScale":
      # Branches of ConvNeXt start at a millionth.
      layer.gamma.assign(generator.uniform(0.2, 0.5, layer.gamma.shape))
  norms = [
      layer
      for layer in model.layers
      if isinstance(layer, layers.BatchNormalization)
  ]
  momenta = [norm.momentum for norm in norms]
  for norm in norms:
    norm.momentum = 0.0
  model(images_of(model, 8, seed=5), training=True)
  for norm, momentum in zip(norms, momenta, strict=True):
    norm.momentum = momentum
  return model


def toy(size=8, **kwargs):
  """Two blocks of identity, a projection, a pool, and all sorts in them."""
  keras.utils.set_random_seed(1)
  images = keras.Input((size, size, 3), name="photos", **kwargs)
  x = layers.Conv2D(6, 3, padding="same", name="stem")(images)
  y = _conv_norm(x, "a1")
  s = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y)
  y = layers.Multiply(name="se")(
      [y, layers.Conv2D(6, 1, activation="sigmoid", name="excite")(s)]
  )
  drop = layers.Dropout(0.3, noise_shape=(None, 1, 1, 1), name="drop")
  x = layers.ReLU(name="relu")(layers.Add(name="a")([drop(y), x]))
  y = _conv_norm(x, "b1", filters=8, strides=2)
  shortcut = layers.Conv2D(8, 1, strides=2, name="b_conv")(x)
  shortcut = layers.BatchNormalization(name="b_norm")(shortcut)
  x = layers.Add(name="b")([shortcut, y])
  y = layers.Dropout(0.2, name="dropout")(_conv_norm(x, "c1", filters=8))
  x = layers.Add(name="c")([x, y])
  y = _conv_norm(x, "d1", filters=8, strides=2)
  x = layers.Add(name="d")([layers.MaxPooling2D(2, name="pool")(x), y])
  x = layers.GlobalAveragePooling2D(name="mean")(x)
  outputs = layers.Dense(10, activation="softmax", name="classes")(x)
  return unsettled(keras.Model(images, outputs, name="toy"))


def inverted_residuals(size, channels=1, blocks=3):
  """A small MobileNetV2, whose outputs are probabilities of ten classes."""
  keras.utils.set_random_seed(1)
  images = keras.Input((size, size, channels))
  x = _conv_norm(images, "stem", filters=8)
  for i in range(blocks):
    y = layers.Conv2D(24, 1, use_bias=False, name=f"expand{i}")(x)
    y = layers.BatchNormalization(name=f"expand{i}_norm")(y)
    y = layers.ReLU(6, name=f"expand{i}_relu")(y)
    y = layers.DepthwiseConv2D(
        3, padding="same", use_bias=False, name=f"depthwise{i}"
    )(y)
    y = layers.BatchNormalization(name=f"depthwise{i}_norm")(y)
    y = layers.ReLU(6, name=f"depthwise{i}_relu")(y)
    y = layers.Conv2D(8, 1, use_bias=False, name=f"project{i}")(y)
    y = layers.BatchNormalization(name=f"project{i}_norm")(y)
    x = layers.Add(name=f"add{i}")([x, y])
  x = layers.GlobalAveragePooling2D()(x)
  outputs = layers.Dense(10, activation="softmax", name="predictions")(x)
  return unsettled(keras.Model(images, outputs, name="inverted"))


def _conv_norm(x, name, filters=6, strides=1):
  x = layers.Conv2D(
      filters, 3, strides=strides, padding="same", use_bias=False, name=name
  )(x)
  return layers.BatchNormalization(name=f"{name}_norm")(x)


def vit(num_layers, size, dimension=8, patch=4):
  """A vision transformer, as one writes it with Keras's own attention."""
  keras.utils.set_random_seed(1)
  images = keras.Input((size, size, 3))
  x = layers.Conv2D(dimension, patch, strides=patch)(images)
  x = layers.Reshape((-1, dimension))(x)
  for i in range(num_layers):
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(2, 4)(y, y)
    x = layers.Add(name=f"attention{i}")([x, y])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(2 * dimension, activation="gelu")(y)
    y = layers.Dense(dimension)(y)
    x = layers.Add(name=f"mlp{i}")([x, y])
  return unsettled(keras.Model(images, layers.Dense(10)(x[:, 0])))


def images_of(model, count=5, seed=0):
  """Images of the size that a network takes, or of 8, in [0, 1]."""
  shape = (count, *(size or 8 for size in model.inputs[0].shape[1:]))
  generator = np.random.default_rng(seed)
  return generator.uniform(0, 1, shape).astype("float32")


def without(model, addition, kept):
  """The network without the branch of one addition, made by hand.

  Args:
    model: the network.
    addition: name of the addition.
    kept: the place of its shortcut among what it adds.
  """

  def call(layer, *args, **kwargs):
    if layer.name == addition:
      return keras.tree.flatten((args, kwargs))[kept]
    return layer(*args, **kwargs)

  return keras.models.clone_model(
      model, clone_function=lambda layer: layer, call_function=call
  )


def result_of(gated, outputs):
  """The outputs of a gated network that are those of the given one."""
  own = {"gates", "gate_logits"}
  if len(outputs) == 4 and "logits" in outputs:
    own.add("logits")  # Of which the probabilities are made.
  (found,) = (value for name, value in outputs.items() if name not in own)
  return np.asarray(found)


def spread(gated, images):
  """Moves dependent gates so that each opens for about half of the images."""
  generator = np.random.default_rng(3)
  for block in pgates.gated_blocks(gated):
    for variable in (block.gate.hidden.kernel, block.gate.logit.kernel):
      # So that a gate of many channels is no surer than one of few.
      deviation = variable.shape[0] ** -0.5
      variable.assign(generator.normal(0, deviation, variable.shape))
  for i, block in enumerate(pgates.gated_blocks(gated)):
    logits = gated(images, training=False)["gate_logits"][:, i]
    middle = len(images) // 2
    between = np.mean(np.sort(logits)[middle - 1 : middle + 1])
    block.gate.logit.bias.assign_sub([between])


def gradients(gated, images, labels):
  """The gradients of the loss for the variables of each gate."""
  loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  found = []
  with tf.GradientTape() as tape:
    value = loss(labels, gated(images, training=True)["logits"])
  variables = [
      block.gate.trainable_variables for block in pgates.gated_blocks(gated)
  ]
  found = tape.gradient(value, variables)
  return value, found


# Networks by name, and where their shortcuts stand among what is added.
QUICK = {
    "toy": (toy, {"a": 1, "b": 0, "c": 0, "d": 0}),
    "ViT": (lambda: vit(1, 8), 0),
}
SLOW = {
    "MobileNetV2": (lambda: application("MobileNetV2", 32), 0),
    "ViT of 12 layers": (lambda: vit(12, 16), 0),
    "ResNet50": (lambda: application("ResNet50", 32), 0),
    "ResNet50V2": (lambda: application("ResNet50V2", 32), 0),
    "EfficientNetB0": (lambda: application("EfficientNetB0", 32), 1),
    "EfficientNetV2B0": (
        lambda: application("EfficientNetV2B0", 32),
        1,
    ),
    "MobileNetV3Small": (
        lambda: application("MobileNetV3Small", 32),
        0,
    ),
    "ResNetV2 of KerasCV": (lambda: keras_cv_resnet_v2("block"), 0),
    "ConvNeXtTiny": (lambda: application("ConvNeXtTiny", 32), 0),
    "Xception": (lambda: application("Xception", 71), 1),
    "InceptionResNetV2": (
        lambda: application("InceptionResNetV2", 75),
        0,
    ),
}
