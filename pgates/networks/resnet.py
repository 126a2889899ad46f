"""ResNets whose residual blocks carry gates; depth is data."""

from typing import Any

from pgates.layers import branches
from pgates.networks import resnet_builder
from pgates.training import model as model_lib

# Depth: (branch, blocks of each stage); He et al., arXiv 1512.03385, table 1.
_IMAGENET = {
    18: (branches.basic_branch, (2, 2, 2, 2)),
    34: (branches.basic_branch, (3, 4, 6, 3)),
    50: (branches.bottleneck_branch, (3, 4, 6, 3)),
    101: (branches.bottleneck_branch, (3, 4, 23, 3)),
    152: (branches.bottleneck_branch, (3, 8, 36, 3)),
}


def ResNet18(num_classes: int, **kwargs: Any) -> model_lib.GatedModel:
  """ResNet-18; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(18, num_classes, **kwargs)


def ResNet34(num_classes: int, **kwargs: Any) -> model_lib.GatedModel:
  """ResNet-34; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(34, num_classes, **kwargs)


def ResNet50(num_classes: int, **kwargs: Any) -> model_lib.GatedModel:
  """ResNet-50 in torchvision's layout, with a gate on each residual block.

  Strides are on the 3x3 convolutions, padding is symmetric.

  Args:
    num_classes: of the classifier.
    gate: `"dependent"`, `"independent"`, `"stochastic_depth"` (survival
      decays linearly to 0.5), `"none"`, a subclass of `pgates.Gate`, or a
      callable `(block_index, num_blocks) -> gate layer or None`.
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


def ResNet101(num_classes: int, **kwargs: Any) -> model_lib.GatedModel:
  """ResNet-101; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(101, num_classes, **kwargs)


def ResNet152(num_classes: int, **kwargs: Any) -> model_lib.GatedModel:
  """ResNet-152; the arguments are those of `ResNet50`."""
  return _imagenet_resnet(152, num_classes, **kwargs)


def is_cifar_depth(depth: int) -> bool:
  """Whether there is a `CifarResNet` of a depth: 8, 14, 20, ..."""
  return depth >= 8 and depth % 6 == 2


def CifarResNet(
    depth: int, num_classes: int = 10, **kwargs: Any
) -> model_lib.GatedModel:
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
  if not is_cifar_depth(depth):
    raise ValueError(
        "The depth of a CIFAR ResNet is 6n + 2: 8, 14, 20, ... "
        f"Received: {depth}"
    )
  defaults = {
      "input_shape": (32, 32, 3),
      "normalization": "unit",
      "name": f"cifar_resnet{depth}",
  }
  return resnet_builder.ResNet(
      num_classes=num_classes,
      branch=branches.basic_branch,
      stages=((depth - 2) // 6,) * 3,
      width=16,
      large_images=False,
      **{**defaults, **kwargs},
  ).build()


def _imagenet_resnet(depth, num_classes, **kwargs):
  branch, stages = _IMAGENET[depth]
  defaults = {
      "input_shape": (224, 224, 3),
      "normalization": "imagenet",
      "name": f"resnet{depth}",
  }
  return resnet_builder.ResNet(
      num_classes=num_classes,
      branch=branch,
      stages=stages,
      width=64,
      large_images=True,
      **{**defaults, **kwargs},
  ).build()
