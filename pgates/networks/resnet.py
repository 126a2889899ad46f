"""ResNets whose residual blocks carry gates; depth is data."""

import keras

from pgates.layers import blocks
from pgates.layers import gates as gates_lib
from pgates.layers import normalization as normalization_lib
from pgates.training import model as model_lib

# Depth: (branch, blocks of each stage); He et al., arXiv 1512.03385, table 1.
_IMAGENET = {
    18: (blocks.basic_branch, (2, 2, 2, 2)),
    34: (blocks.basic_branch, (3, 4, 6, 3)),
    50: (blocks.bottleneck_branch, (3, 4, 6, 3)),
    101: (blocks.bottleneck_branch, (3, 4, 23, 3)),
    152: (blocks.bottleneck_branch, (3, 8, 36, 3)),
}
_EXPANSION = {blocks.basic_branch: 1, blocks.bottleneck_branch: 4}
GATES = ("dependent", "independent", "stochastic_depth", "none")
# What torchvision trains with: images in [0, 1], less mean, by deviation.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_FINAL_SURVIVAL = 0.5


def ResNet18(num_classes, **kwargs):
  """ResNet-18; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(18, num_classes, **kwargs)


def ResNet34(num_classes, **kwargs):
  """ResNet-34; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(34, num_classes, **kwargs)


def ResNet50(num_classes, **kwargs):
  """ResNet-50 in torchvision's layout, with a gate on each residual block.

  Strides are on the 3x3 convolutions, padding is symmetric.

  Args:
    num_classes: of the classifier.
    gate: `"dependent"`, `"independent"`, `"stochastic_depth"` (survival
      decays linearly to 0.5), `"none"`, or a callable `(block_index,
      num_blocks) -> gate layer or None`.
    input_shape: (height, width, channels), all fixed.
    normalization: `"imagenet"` or `"unit"` (images arrive in [0, 255]), or
      None (images arrive normalised).
    always_open: indices of blocks that always run and carry no gate.
    synchronized: whether batch norms use statistics over all replicas.
    name: of the model.
    **kwargs: the arguments above, all but the first.

  Returns:
    A `pgates.GatedModel`: images [batch, height, width, channels] ->
    `{"logits": [batch, num_classes], "gates": [batch, blocks], "gate_logits":
    [batch, blocks]}`; a block without a gate reports gate 1 and logit 100.

  Raises:
    ValueError: if an argument is out of its range.

  References:
    He et al., arXiv 1512.03385; Herrmann et al., arXiv 1812.04180v1.
  """
  return _imagenet_resnet(50, num_classes, **kwargs)


def ResNet101(num_classes, **kwargs):
  """ResNet-101; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(101, num_classes, **kwargs)


def ResNet152(num_classes, **kwargs):
  """ResNet-152; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(152, num_classes, **kwargs)


def CifarResNet(depth, num_classes=10, **kwargs):
  """The ResNets for small images: 3 stages of 16, 32 and 64 channels.

  Args:
    depth: 6n + 2: 8, 14, 20, ..., 110.
    num_classes: of the classifier.
    **kwargs: those of `ResNet50`; `input_shape` is (32, 32, 3) and
      `normalization` is `"unit"` unless given.

  Returns:
    A `pgates.GatedModel`, as `ResNet50`.

  Raises:
    ValueError: if an argument is out of its range.

  References:
    He et al., arXiv 1512.03385, section 4.2.
  """
  if depth < 8 or (depth - 2) % 6:
    raise ValueError(
        "The depth of a CIFAR ResNet is 6n + 2: 8, 14, 20, ... "
        f"Received: {depth}"
    )
  defaults = {
      "input_shape": (32, 32, 3),
      "normalization": "unit",
      "name": f"cifar_resnet{depth}",
  }
  return _resnet(
      num_classes,
      branch=blocks.basic_branch,
      stages=((depth - 2) // 6,) * 3,
      width=16,
      large=False,
      **{**defaults, **kwargs},
  )


def _imagenet_resnet(depth, num_classes, **kwargs):
  branch, stages = _IMAGENET[depth]
  defaults = {
      "input_shape": (224, 224, 3),
      "normalization": "imagenet",
      "name": f"resnet{depth}",
  }
  return _resnet(
      num_classes,
      branch=branch,
      stages=stages,
      width=64,
      large=True,
      **{**defaults, **kwargs},
  )


def _resnet(
    num_classes,
    *,
    branch,
    stages,
    width,
    large,
    input_shape,
    normalization,
    name,
    gate="dependent",
    always_open=(),
    synchronized=False,
):
  if num_classes < 1:
    raise ValueError(f"`num_classes` must be positive. Received: {num_classes}")
  gates = _gates(gate, sum(stages), always_open, synchronized)
  inputs = keras.Input(input_shape, name="images")
  x = _normalize(inputs, normalization)
  x = _stem(x, width, large, synchronized)
  decisions = []
  for stage, num_blocks in enumerate(stages):
    for index in range(num_blocks):
      block = _block(
          branch,
          width * 2**stage,
          strides=2 if stage and not index else 1,
          channels=x.shape[-1],
          gate=gates[len(decisions)],
          synchronized=synchronized,
          name=f"stage{stage + 1}_block{index}",
      )
      x, decision, logit = block(x)
      decisions.append((decision, logit))
  x = keras.layers.GlobalAveragePooling2D(
      data_format="channels_last", name="pool"
  )(x)
  # Logits in float32 under every precision policy.
  logits = keras.layers.Dense(num_classes, dtype="float32", name="classifier")(
      x
  )
  outputs = model_lib.gated_outputs(logits, *zip(*decisions, strict=True))
  return model_lib.GatedModel(inputs, outputs, name=name)


def _block(branch, filters, *, strides, channels, gate, synchronized, name):
  outputs = filters * _EXPANSION[branch]
  shortcut = None
  if strides > 1 or channels != outputs:
    shortcut = blocks.projection_shortcut(
        outputs, strides=strides, synchronized=synchronized
    )
  return blocks.GatedResidual(
      branch(filters, strides=strides, synchronized=synchronized),
      gate=gate,
      shortcut=shortcut,
      activated_inputs=True,
      name=name,
  )


def _stem(x, width, large, synchronized):
  kernel, strides = (7, 2) if large else (3, 1)
  for layer in blocks.conv(width, kernel, strides=strides, name="stem_conv"):
    x = layer(x)
  x = normalization_lib.BatchNormalization(
      synchronized=synchronized, name="stem_bn"
  )(x)
  x = keras.layers.ReLU(name="stem_relu")(x)
  if large:
    # Zeros are no maximum's winner: the input is not negative.
    last = {"data_format": "channels_last"}
    x = keras.layers.ZeroPadding2D(1, name="stem_padding", **last)(x)
    x = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool", **last)(x)
  return x


def _normalize(inputs, normalization):
  if normalization is None:
    return inputs
  if normalization == "unit":
    return keras.layers.Rescaling(1 / 255, name="normalization")(inputs)
  if normalization != "imagenet":
    raise ValueError(
        "`normalization` must be 'imagenet', 'unit' or None. "
        f"Received: {normalization!r}"
    )
  if inputs.shape[-1] != 3:
    raise ValueError(
        "normalization='imagenet' is for 3 channels; use 'unit' or None. "
        f"Received: input_shape={inputs.shape[1:]}"
    )
  pairs = zip(_IMAGENET_MEAN, _IMAGENET_DEVIATION, strict=True)
  return keras.layers.Rescaling(
      [1 / (255 * deviation) for deviation in _IMAGENET_DEVIATION],
      offset=[-mean / deviation for mean, deviation in pairs],
      name="normalization",
  )(inputs)


def _gates(gate, num_blocks, always_open, synchronized):
  """One gate layer, or None, for each block."""
  outside = [i for i in always_open if not 0 <= i < num_blocks]
  if outside:
    raise ValueError(
        f"`always_open` holds indices of blocks, 0 to {num_blocks - 1}. "
        f"Received: {outside}"
    )
  make = gate if callable(gate) else _gate_factory(gate, synchronized)
  return [
      None if i in set(always_open) else make(i, num_blocks)
      for i in range(num_blocks)
  ]


def _gate_factory(kind, synchronized):
  factories = {
      "dependent": lambda i, n: gates_lib.DataDependentGate(
          synchronized=synchronized, name="gate"
      ),
      "independent": lambda i, n: gates_lib.DataIndependentGate(name="gate"),
      "stochastic_depth": lambda i, n: gates_lib.StochasticDepthGate(
          1 - (i + 1) / n * (1 - _FINAL_SURVIVAL), name="gate"
      ),
      "none": lambda i, n: None,
  }
  if kind not in factories:
    raise ValueError(
        f"`gate` must be one of {GATES} or a callable (block_index, "
        f"num_blocks) -> layer. Received: {kind!r}"
    )
  return factories[kind]
