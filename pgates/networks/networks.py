"""Which network a name means."""

import re
from typing import Any

from pgates.networks import applications
from pgates.networks import network_files
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
  if not (name in _RESNETS or is_cifar or is_of_others(name)):
    raise ValueError(
        "network must be resnet18, 34, 50, 101 or 152; cifar_resnet with a "
        "depth of 6n + 2 (8, 14, 20, ...); or, in Keras's own spelling, one of "
        f"keras.applications: {', '.join(applications.names())}; or "
        "file:PATH.keras. "
        f"Received: {name!r}"
    )


def is_of_others(name: str) -> bool:
  """Whether a network brings its preprocessing: of Keras, or from a file."""
  return name in applications.names() or file_of(name) is not None


def file_of(name: str) -> str | None:
  """The path in `file:PATH.keras`; None of other names."""
  is_file = name.startswith(network_files.PREFIX)
  return name.removeprefix(network_files.PREFIX) if is_file else None


def check_arguments(name: str, arguments: dict[str, Any]) -> None:
  """Raises a ValueError for arguments that a network does not take.

  Args:
    name: that `check_name` knows.
    arguments: as of `build_network`.
  """
  if name in applications.names():
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
  """Builds a network by its name; of random weights, but from a file.

  Args:
    name: `"resnet18"`, `"resnet34"`, ... `"resnet152"`; `"cifar_resnet8"`,
      `"cifar_resnet14"`, ... (depths of 6n + 2); or the name of a residual
      network of `keras.applications`: `"MobileNetV2"`, `"EfficientNetB0"`, ...
      Those differ from ours by more than their names: `"ResNet50"` is Keras's.
      Or `"file:PATH.keras"`, a trained classifier, which keeps its weights.
    num_classes: of the classifier.
    arguments: of the function of `keras.applications`, such as `alpha`.
    **options: of `pgates.ResNet50`: `gate`, `input_shape`, `always_open`,
      `synchronized`; of our networks `normalization` and `name`, too; of a
      file `input_scaling` and `new_head` (see `network_files.build`).

  Returns:
    A `pgates.GatedModel`, not compiled.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if there is no network of this name, or an option is out of its
      range, or the file holds none that fits.
  """
  check_name(name)
  arguments = arguments or {}
  if name in applications.names():
    return applications.build(name, num_classes, arguments=arguments, **options)
  check_arguments(name, arguments)
  path = file_of(name)
  if path is not None:
    return network_files.build(path, num_classes, **options)
  if name in _RESNETS:
    return _RESNETS[name](num_classes, **options)
  return resnet.CifarResNet(_cifar_depth(name), num_classes, **options)


def _cifar_depth(name):
  match = _CIFAR.fullmatch(name)
  return None if match is None else int(match[1])
