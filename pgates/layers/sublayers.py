"""The state of layers that a layer builds itself, in its configuration.

Keras saves what a layer is given; of the layers that it builds itself, it saves
the weights alone, so that frozen ones would thaw.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras


def named(layer: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
  """The layers that are attributes of a layer, by their names."""
  return {
      name: value
      for name, value in vars(layer).items()
      if isinstance(value, keras.layers.Layer)
  }


def descendants(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
  """Yields a layer and all layers in it, built or not.

  Args:
    layer: a Keras layer, maybe a model.
  """
  yield layer
  inner = [*named(layer).values(), *getattr(layer, "layers", ())]
  for each in {id(each): each for each in inner}.values():
    yield from descendants(each)


def check_channels_last(
    layers: Iterable[keras.layers.Layer], *, where: str
) -> None:
  """Raises a ValueError if a layer has its channels first.

  Args:
    layers: to look at.
    where: they are, for the message.
  """
  for layer in layers:
    if getattr(layer, "data_format", None) == "channels_first":
      raise ValueError(
          f"{layer.name}, in {where}, has data_format='channels_first'; gates, "
          "batch norms and routing expect [batch, ..., channels]. Build it "
          "with data_format='channels_last' (Keras's default is that of "
          "`keras.config.image_data_format()`)."
      )


def frozen_names(layer: keras.layers.Layer) -> list[str] | None:
  """Names of the attributes of a layer that are frozen layers.

  Args:
    layer: a Keras layer.

  Returns:
    A sorted list; None where all of them are as the layer itself, frozen or
    not.
  """
  found = named(layer)
  frozen = sorted(name for name, each in found.items() if not each.trainable)
  alike = [] if layer.trainable else sorted(found)
  return None if frozen == alike else frozen


def freeze(layer: keras.layers.Layer, names: list[str] | None) -> None:
  """Freezes layers that are attributes of a layer; undoes `frozen_names`.

  Args:
    layer: a Keras layer, as its constructor made it.
    names: as returned by `frozen_names`.

  Raises:
    ValueError: if a name is not that of a layer.
  """
  found = named(layer)
  if names is None:
    names = [] if layer.trainable else list(found)
  unknown = sorted(set(names) - set(found))
  if unknown:
    raise ValueError(
        f"{layer.name} ({type(layer).__name__}) holds the layers "
        f"{sorted(found)}. Received: frozen={unknown}"
    )
  for name in names:
    found[name].trainable = False


class FullPrecisionDense(keras.layers.Dense):
  """A dense layer that `model.quantize` leaves in float32.

  Gates compute in float32 under every precision policy.
  """

  def quantize(
      self, mode: str | None = None, type_check: bool = True, config: Any = None
  ) -> None:
    raise NotImplementedError(f"{self.path}: gates stay in float32.")
