"""Puts a ResNet together: stem, stages of gated blocks, classifier."""

from collections.abc import Callable
import dataclasses

import keras

from pgates import graphs
from pgates.layers import blocks
from pgates.layers import branches
from pgates.layers import gate_kinds
from pgates.layers import gates as gates_lib
from pgates.layers import normalization as normalization_lib
from pgates.training import model as model_lib

_EXPANSION = {branches.basic_branch: 1, branches.bottleneck_branch: 4}
# What torchvision trains with: images in [0, 1], less mean, by deviation.
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResNet:
  """All that determines a ResNet.

  Args:
    num_classes: of the classifier.
    branch: makes the branch of a block; out of `pgates.layers.branches`.
    stages: blocks of each stage; each but the first halves the resolution.
    width: channels of the first stage; each further stage doubles them.
    large_images: whether the stem is a 7x7 convolution and a maximum, both of
      stride 2, instead of a 3x3 convolution.
    input_shape: (height, width, channels).
    normalization: `"imagenet"`, `"unit"` or None, as of `pgates.ResNet50`.
    name: of the model.
    gate: as of `gate_kinds.factory`.
    always_open: indices of blocks that carry no gate.
    synchronized: whether batch statistics are over all replicas.

  Raises:
    ValueError: if an argument is out of its range.
  """

  num_classes: int
  branch: Callable[..., keras.Sequential]
  stages: tuple[int, ...]
  width: int
  large_images: bool
  input_shape: tuple[int, int, int]
  normalization: str | None
  name: str
  gate: str | type[gates_lib.Gate] | gate_kinds.GateFactory = "dependent"
  always_open: tuple[int, ...] = ()
  synchronized: bool = False

  def __post_init__(self):
    if self.num_classes < 1:
      raise ValueError(
          f"`num_classes` must be positive. Received: {self.num_classes}"
      )

  def build(self) -> model_lib.GatedModel:
    """The model, as `pgates.ResNet50` describes it."""
    gates = self._gates()
    inputs = keras.Input(self.input_shape, name="images")
    x = self._stem(_normalize(inputs, self.normalization))
    decisions = []
    for stage, num_blocks in enumerate(self.stages):
      for index in range(num_blocks):
        block = self._block(
            gates[len(decisions)], stage, index, channels=x.shape[-1]
        )
        x, decision, logit = block(x)
        decisions.append((decision, logit))
    logits = self._classifier(x)
    outputs = graphs.gated_outputs(logits, *zip(*decisions, strict=True))
    return model_lib.GatedModel(inputs, outputs, name=self.name)

  def _gates(self):
    """One gate layer, or None, for each block."""
    return gate_kinds.make_gates(
        self.gate,
        sum(self.stages),
        settings=gates_lib.GateSettings(synchronized=self.synchronized),
        always_open=self.always_open,
    )

  def _stem(self, x):
    kernel, strides = (7, 2) if self.large_images else (3, 1)
    for layer in branches.conv(
        self.width, kernel, strides=strides, name="stem_conv"
    ):
      x = layer(x)
    x = normalization_lib.BatchNormalization(
        synchronized=self.synchronized, name="stem_bn"
    )(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    if self.large_images:
      # Zeros are no maximum's winner: the input is not negative.
      last = {"data_format": "channels_last"}
      x = keras.layers.ZeroPadding2D(1, name="stem_padding", **last)(x)
      x = keras.layers.MaxPooling2D(3, strides=2, name="stem_pool", **last)(x)
    return x

  def _block(self, gate, stage, index, *, channels):
    filters = self.width * 2**stage
    options = {
        "strides": 2 if stage and not index else 1,
        "synchronized": self.synchronized,
    }
    outputs = filters * _EXPANSION[self.branch]
    shortcut = None
    if options["strides"] > 1 or channels != outputs:
      shortcut = branches.projection_shortcut(outputs, **options)
    return blocks.GatedResidual(
        self.branch(filters, **options),
        gate=gate,
        shortcut=shortcut,
        activated_inputs=True,
        name=f"stage{stage + 1}_block{index}",
    )

  def _classifier(self, x):
    x = keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", name="pool"
    )(x)
    # Logits in float32 under every precision policy.
    return keras.layers.Dense(
        self.num_classes, dtype="float32", name="classifier"
    )(x)


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
