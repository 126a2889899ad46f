"""Which network a name means."""

import re
from typing import Any

from pgates.networks import resnet
from pgates.training import model as model_lib

_CIFAR = re.compile(r"cifar_resnet(\d+)")
_RESNETS = {
    "resnet18": resnet.ResNet18,
    "resnet34": resnet.ResNet34,
    "resnet50": resnet.ResNet50,
    "resnet101": resnet.ResNet101,
    "resnet152": resnet.ResNet152,
}


def check_name(name: str) -> None:
  """Raises a ValueError unless `build_network` knows a name."""
  depth = _cifar_depth(name)
  is_cifar = depth is not None and resnet.is_cifar_depth(depth)
  if name not in _RESNETS and not is_cifar:
    raise ValueError(
        "network must be resnet18, 34, 50, 101 or 152, or cifar_resnet with a "
        f"depth of 6n + 2 (8, 14, 20, ...). Received: {name!r}"
    )


def build_network(
    name: str, num_classes: int, **options: Any
) -> model_lib.GatedModel:
  """Builds a network of random weights by its name.

  Args:
    name: `"resnet18"`, `"resnet34"`, ... `"resnet152"`, or `"cifar_resnet8"`,
      `"cifar_resnet14"`, ... (depths of 6n + 2).
    num_classes: of the classifier.
    **options: of `pgates.ResNet50`: `gate`, `input_shape`, `normalization`,
      `always_open`, `synchronized`, `name`.

  Returns:
    A `pgates.GatedModel`, not compiled.

  Raises:
    ValueError: if there is no network of this name, or an option is out of its
      range.
  """
  check_name(name)
  if name in _RESNETS:
    return _RESNETS[name](num_classes, **options)
  return resnet.CifarResNet(_cifar_depth(name), num_classes, **options)


def _cifar_depth(name):
  match = _CIFAR.fullmatch(name)
  return None if match is None else int(match[1])
