"""Which network a name means."""

import re
from typing import Any

from pgates.networks import applications
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
  if not (name in _RESNETS or is_cifar or is_application(name)):
    raise ValueError(
        "network must be resnet18, 34, 50, 101 or 152; cifar_resnet with a "
        "depth of 6n + 2 (8, 14, 20, ...); or, in Keras's own spelling, one of "
        f"keras.applications: {', '.join(applications.names())}. "
        f"Received: {name!r}"
    )


def is_application(name: str) -> bool:
  """Whether a name is that of a network of `keras.applications`.

  Such a network has a preprocessing of its own, and arguments of its own.
  """
  return name in applications.names()


def check_arguments(name: str, arguments: dict[str, Any]) -> None:
  """Raises a ValueError for arguments that a network does not take.

  Args:
    name: that `check_name` knows.
    arguments: as of `build_network`.
  """
  if is_application(name):
    applications.check_arguments(name, arguments)
  elif arguments:
    raise ValueError(
        f"{name} takes no arguments; networks of keras.applications do. "
        f"Received: {arguments}"
    )


def build_network(
    name: str,
    num_classes: int,
    *,
    arguments: dict[str, Any] | None = None,
    **options: Any,
) -> model_lib.GatedModel:
  """Builds a network of random weights by its name.

  Args:
    name: `"resnet18"`, `"resnet34"`, ... `"resnet152"`; `"cifar_resnet8"`,
      `"cifar_resnet14"`, ... (depths of 6n + 2); or the name of a residual
      network of `keras.applications`: `"MobileNetV2"`, `"EfficientNetB0"`, ...
      Those differ from ours by more than their names: `"ResNet50"` is Keras's.
    num_classes: of the classifier.
    arguments: of the function of `keras.applications`, such as `alpha`.
    **options: of `pgates.ResNet50`: `gate`, `input_shape`, `always_open`,
      `synchronized`; of our networks `normalization` and `name`, too.

  Returns:
    A `pgates.GatedModel`, not compiled.

  Raises:
    ValueError: if there is no network of this name, or an option is out of its
      range.
  """
  check_name(name)
  arguments = arguments or {}
  if is_application(name):
    return applications.build(name, num_classes, arguments=arguments, **options)
  check_arguments(name, arguments)
  if name in _RESNETS:
    return _RESNETS[name](num_classes, **options)
  return resnet.CifarResNet(_cifar_depth(name), num_classes, **options)


def _cifar_depth(name):
  match = _CIFAR.fullmatch(name)
  return None if match is None else int(match[1])
