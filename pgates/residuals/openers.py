"""Openers: layers that hide what they call, written out as graphs.

A subclassed layer calls its own layers in Python, where no graph shows a block.
An opener does what its `call` does, on symbolic tensors. Where `call` makes use
of layers and `keras.ops` alone, it is its own opener.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import keras

from pgates.layers import keras_masks
from pgates.residuals import calls as calls_lib

Opener = Callable[..., Any]
Openers = Mapping[type[keras.layers.Layer], Opener]


def find(layer: keras.Operation, openers: Openers) -> Opener | None:
  """The opener of a layer; None if there is none.

  Args:
    layer: to be opened. That of its very class counts, not one of a base,
      whose `call` it may override.
    openers: those that were given; they go before the ones that are known.
  """
  kind = type(layer)
  if kind in openers:
    return openers[kind]
  # By name, so that nobody needs the library, nor its import, who has no such
  # layer.
  is_known = kind.__qualname__ in _KNOWN.get(kind.__module__, ())
  return kind.call if is_known else None


def check(openers: Openers) -> None:
  """Raises a TypeError unless these are functions by classes of layers."""
  for kind, opener in openers.items():
    is_class = isinstance(kind, type) and issubclass(kind, keras.layers.Layer)
    if not is_class or not callable(opener):
      raise TypeError(
          "`openers` maps classes of layers to functions of a layer and its "
          f"inputs. Received: {{{kind!r}: {opener!r}}}"
      )


def why_not(args: tuple, kwargs: dict[str, Any]) -> str | None:
  """Why a layer that is called so cannot be opened; None if it can."""
  given = {name for name, value in kwargs.items() if value is not None}
  if given - {"training"}:
    return f"it is called with {sorted(given - {'training'})}"
  if any(
      keras_masks.mask_of(each) is not None
      for each in calls_lib.tensors_in(args)
  ):
    return "it is called on tensors that carry a mask"
  return None


def opened(
    layer: keras.layers.Layer, opener: Opener, args: tuple, outputs: Any
) -> keras.Model:
  """What a layer does, as a model of the layers in it.

  Args:
    layer: built.
    opener: of its class.
    args: what it was called with; distinct tensors among it become the model's
      inputs.
    outputs: what it returned.

  Returns:
    A functional model.

  Raises:
    ValueError: if the opener does not do what the layer does, as far as shapes,
      types and weights tell.
  """
  given = calls_lib.distinct_in(args)
  fresh = {id(each): calls_lib.input_like(each) for each in given}
  cast = {key: _cast(layer, each) for key, each in fresh.items()}
  made = opener(layer, *calls_lib.substitute(args, cast))
  if _kinds(made) != _kinds(outputs):
    raise ValueError(
        f"The opener of {type(layer).__name__} returned {_kinds(made)} for "
        f"{layer.name}, which returns {_kinds(outputs)}."
    )
  try:
    model = keras.Model([*fresh.values()], made)
  except ValueError as error:
    raise ValueError(
        f"The opener of {type(layer).__name__} made no graph of {layer.name}. "
        "It may call the layer's own layers; layers within those need openers "
        f"of their classes. Keras says: {error}"
    ) from error
  used = {id(each) for each in model.weights}
  unused = [each.path for each in layer.weights if id(each) not in used]
  if unused:
    raise ValueError(
        f"The opener of {type(layer).__name__} leaves out weights of "
        f"{layer.name}: {unused}. It must do all that the layer's `call` does, "
        "with the layers that hold them."
    )
  return model


def _cast(layer, tensor):
  """A tensor of the type that a layer computes in, as Keras casts inputs."""
  is_float = keras.backend.is_float_dtype(tensor.dtype)
  if layer.autocast and is_float and tensor.dtype != layer.compute_dtype:
    return keras.ops.cast(tensor, layer.compute_dtype)
  return tensor


def _kinds(structure):
  """Shapes and types of a structure of tensors, to compare and to show."""
  return keras.tree.map_structure(
      lambda each: f"{each.dtype}{list(each.shape)}", structure
  )


_HUB = "keras_hub.src.models"
# Of these, `call` makes use of layers and `keras.ops` alone.
_KNOWN = {
    f"{_HUB}.efficientnet.cba": ("CBABlock",),
    f"{_HUB}.efficientnet.fusedmbconv": ("FusedMBConvBlock",),
    f"{_HUB}.efficientnet.mbconv": ("MBConvBlock",),
    f"{_HUB}.mobilenet.mobilenet_backbone": (
        "ConvBnActBlock",
        "DepthwiseConvBlock",
        "InvertedResidualBlock",
        "SqueezeAndExcite2D",
    ),
    f"{_HUB}.vit.vit_layers": ("MLP", "ViTEncoder", "ViTEncoderBlock"),
}
