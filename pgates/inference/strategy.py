"""What a strategy is; each is a subclass, listed in `strategies.KINDS`."""

import abc
import dataclasses
import math
from typing import Any
from typing import ClassVar
from typing import Self

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Strategy(abc.ABC):
  """A strategy, read once from its text; what follows from it, it says.

  Args:
    name: as in `strategies.KINDS`.
    argument: what stands behind the colon; None for nothing.
  """

  name: str
  argument: Any = None

  # Whether it is measured on validation data.
  needs_data: ClassVar[bool] = False
  # Whether it leaves no gate to decide: the same blocks run for all inputs.
  is_fixed: ClassVar[bool] = False

  @classmethod
  @abc.abstractmethod
  def parse(cls, name: str, argument: str) -> Self:
    """Reads what stands behind the colon; "" for nothing.

    Raises:
      ValueError: says what is wanted.
    """

  @property
  def is_random(self) -> bool:
    """Whether decisions are drawn."""
    return False

  @property
  def threshold(self) -> float | None:
    """The probability above which gates open; None where it is not known."""
    return None

  @property
  def num_passes(self) -> int:
    """How often an input goes through the network."""
    return 1

  @property
  def can_be_fixed(self) -> bool:
    """Whether `fix` can do for all inputs what this does for most."""
    return self.is_fixed

  @property
  def decides_per_input(self) -> bool:
    """Whether blocks run for some inputs and are skipped for others."""
    return not self.is_fixed

  @property
  def statistics_rule(self) -> str | None:
    """The rule that batch norms are re-estimated under, before deciding.

    None where they are after, in the network that is left.
    """
    return None

  def check(self, model: keras.Model) -> None:
    """Raises a ValueError, before any work, if it makes no sense of a model."""
    del model  # Of most, every model will do.

  def resolve(
      self, model: keras.Model, validation_data: tf.data.Dataset | None
  ) -> tuple[keras.Model, "Strategy"]:
    """Decides what can be decided before the first input is seen.

    Args:
      model: a functional Keras model of `GatedResidual` blocks.
      validation_data: batched data set of (images, ...), where `needs_data`.

    Returns:
      `(model, strategy)`: a network without what was decided, and what is left
      to do for each input, which needs no data.
    """
    del validation_data
    return model, self

  def fix(
      self, model: keras.Model, validation_data: tf.data.Dataset
  ) -> keras.Model:
    """A network that does for all inputs what this does for most.

    Args:
      model: a functional Keras model of `GatedResidual` blocks.
      validation_data: batched data set of (images, ...).

    Returns:
      A model without gates, not compiled.

    Raises:
      ValueError: unless `can_be_fixed`.
    """
    if not self.can_be_fixed:
      raise ValueError(f"No network without gates does what {self} does.")
    return self.resolve(model, validation_data)[0]

  def apply(self, model: keras.Model, execution: str) -> keras.Model:
    """The model of a resolved strategy; it shares all weights, not compiled."""
    del model, execution
    raise NotImplementedError(f"{self} is applied by what `resolve` leaves.")

  def __str__(self) -> str:
    if self.argument is None:
      return self.name
    return f"{self.name}:{self.argument!r}"


def share(name: str, argument: str, *, highest: float = 1.0) -> float:
  """Reads a share between 0 and `highest`.

  Raises:
    ValueError: if it is none.
  """
  try:
    value = float(argument)
  except ValueError:
    value = math.nan
  # Written so that NaN is refused.
  if not 0 <= value <= highest:
    raise ValueError(
        f"Expected a share between 0 and {highest:g} behind '{name}:'. "
        f"Received: '{name}:{argument}'"
    )
  return value


def whole_number(name: str, argument: str, *, lowest: int) -> int:
  """Reads a whole number that is not below `lowest`.

  Raises:
    ValueError: if it is none.
  """
  try:
    value = int(argument)
  except ValueError:
    value = lowest - 1
  if value < lowest:
    raise ValueError(
        f"Expected a whole number from {lowest} behind '{name}:'. "
        f"Received: '{name}:{argument}'"
    )
  return value
