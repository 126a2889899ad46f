"""Networks of `keras.applications`, gated: which one a name means, and how.

Their weights are random. They take images as our ResNets do, in [0, 255] and
of one channel or three: what an application expects of its images is part of
the model, so that an export needs to know nothing of it.
"""

from collections.abc import Collection
import inspect
from typing import Any

import keras

from pgates.layers import gate_kinds
from pgates.layers import gates as gates_lib
from pgates.networks import adapting
from pgates.training import model as model_lib

_CHANNELS = 3
# Arguments of the functions that are decided here.
_DECIDED = (
    *("classes", "classifier_activation", "include_preprocessing"),
    *("include_top", "input_shape", "input_tensor", "name", "pooling"),
    "weights",
)


def names() -> tuple[str, ...]:
  """The functions of `keras.applications`."""
  found = vars(keras.applications).items()
  return tuple(sorted(name for name, each in found if inspect.isfunction(each)))


def check_arguments(name: str, arguments: dict[str, Any]) -> None:
  """Raises a ValueError for arguments that an application does not take.

  Args:
    name: one of `names()`.
    arguments: of the function, but for those that are decided here.
  """
  parameters = inspect.signature(_function(name)).parameters
  defaults = {
      key: each.default
      for key, each in parameters.items()
      if key not in _DECIDED
  }
  for key, value in arguments.items():
    if key not in defaults:
      known = ", ".join(f"{k}={v}" for k, v in defaults.items())
      raise ValueError(
          f"{name} of keras.applications takes {known or 'no arguments'}. "
          f"Received: {key}={value}"
      )
    if not _is_like(value, defaults[key]):
      raise ValueError(
          f"{name} of keras.applications takes {key} of type "
          f"{type(defaults[key]).__name__}, as in {key}={defaults[key]}. "
          f"Received: {key}={value!r}"
      )


def _is_like(value, default):
  if isinstance(value, bool) or isinstance(default, bool):
    return type(value) is type(default)
  kinds = (int, float) if isinstance(default, float) else type(default)
  return isinstance(value, kinds)


def build(
    name: str,
    num_classes: int,
    *,
    gate: str | type[gates_lib.Gate] | gate_kinds.GateFactory = "dependent",
    input_shape: tuple[int, int, int] = (224, 224, 3),
    always_open: Collection[int] = (),
    synchronized: bool = False,
    arguments: dict[str, Any] | None = None,
) -> model_lib.GatedModel:
  """A network of `keras.applications` with gates on its residual blocks.

  An application is made for images of 3 channels: its preprocessing (a mean
  and a deviation of each channel, or another order of them) has no meaning for
  one, and trained weights have 3. So it always gets 3; of an image with one
  channel, that one three times.

  Its batch norms average as ours do (see `adapting.adapted`).

  Args:
    name: one of `names()`.
    num_classes: of the classifier.
    gate: as of `pgates.ResNet50`; `"none"` for blocks that always run.
    input_shape: (height, width, channels), of 1 or 3 channels.
    always_open: indices of blocks that always run and carry no gate.
    synchronized: whether batch norms use statistics over all replicas.
    arguments: further ones of the function, such as `alpha`.

  Returns:
    A `pgates.GatedModel`, not compiled, with the outputs of `pgates.ResNet50`.

  Raises:
    ValueError: if an argument is out of its range, the application has no such
      argument or no residual blocks, or the images are too small for it.
  """
  arguments = arguments or {}
  check_arguments(name, arguments)
  images = keras.Input(input_shape, name="images")
  inputs = _preprocessed(name, _three_channels(name, images))
  network = _network(name, num_classes, inputs.shape[1:], arguments)
  network = adapting.adapted(network, synchronized=synchronized)
  return adapting.gated(
      keras.Model(images, network(inputs), name=name),
      gate,
      always_open=always_open,
      synchronized=synchronized,
  )


def _function(name):
  return getattr(keras.applications, name)


def _three_channels(name, images):
  channels = images.shape[-1]
  if channels == 1:
    return keras.ops.tile(images, (1, 1, 1, _CHANNELS))
  if channels != _CHANNELS:
    raise ValueError(
        f"{name} of keras.applications takes images of 1 or 3 channels. "
        f"Received: input_shape={images.shape[1:]}"
    )
  return images


def _preprocessed(name, images):
  """What the `preprocess_input` of an application makes of images."""
  module = _function(name).__module__.rpartition(".")[-1]
  preprocess = getattr(keras.applications, module).preprocess_input
  return preprocess(images, data_format="channels_last")


def _network(name, num_classes, input_shape, arguments):
  try:
    return _function(name)(
        weights=None,
        classes=num_classes,
        classifier_activation=None,
        input_shape=input_shape,
        **arguments,
    )
  except (ValueError, TypeError) as error:
    given = "".join(f", {key}={value}" for key, value in arguments.items())
    raise ValueError(
        f"keras.applications has no {name} for images of {input_shape[:2]}"
        f"{given}: {error}"
    ) from error
