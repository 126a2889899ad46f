"""One setting of a run: a field of `config.Config`, its bounds and its flag."""

from collections.abc import Sequence
import dataclasses
import math
from typing import Any

from absl import flags

from file_io import path_flags


@dataclasses.dataclass(frozen=True)
class Setting:
  """What is known of a setting besides its default.

  Args:
    help: of the flag.
    kind: of the value, or of each where it is a list.
    lowest: the least value, or None.
    highest: the greatest value, or None.
    choices: what the value is one of, or None for anything.
    is_list: whether the value is a list.
    is_path: whether it is a path of this machine.
  """

  help: str
  kind: type
  lowest: float | None = None
  highest: float | None = None
  choices: tuple[str, ...] | None = None
  is_list: bool = False
  is_path: bool = False

  def check(self, name: str, value: Any) -> None:
    """Raises a ValueError for a value that the setting cannot have."""
    values = value if self.is_list else [] if value is None else [value]
    for each in values:
      if not self._fits(each):
        raise ValueError(
            f"--{name} takes {self._wanted()}. Received: "
            f"{','.join(map(str, values))}"
        )

  def _fits(self, value):
    if self.choices is not None:
      return value in self.choices
    if self.kind not in (int, float):
      return True
    # Written so that NaN is refused.
    return (
        math.isfinite(value)
        and (self.lowest is None or value >= self.lowest)
        and (self.highest is None or value <= self.highest)
    )

  def _wanted(self):
    if self.choices is not None:
      return f"one of {', '.join(self.choices)}"
    wanted = "whole numbers" if self.kind is int else "numbers"
    if self.lowest is not None:
      wanted += f" from {self.lowest:g}"
    if self.highest is not None:
      wanted += f" to {self.highest:g}"
    return f"{wanted} between commas" if self.is_list else wanted

  def define(self, name: str, default: Any, *, module_name: str) -> None:
    """Defines the flag, as one of a module."""
    of = {"module_name": module_name}
    if self.is_list:
      texts = [str(value) for value in default]
      flags.DEFINE_list(name, texts, self.help, **of)
    elif self.choices is not None:
      flags.DEFINE_enum(name, default, self.choices, self.help, **of)
    elif self.kind is bool:
      flags.DEFINE_bool(name, default, self.help, **of)
    elif self.is_path:
      path_flags.define(name, default, self.help, **of)
    elif self.kind is str:
      flags.DEFINE_string(name, default, self.help, **of)
    else:
      define = {int: flags.DEFINE_integer, float: flags.DEFINE_float}[self.kind]
      bounds = {"lower_bound": self.lowest, "upper_bound": self.highest}
      define(name, default, self.help, **bounds, **of)

  def read(self, name: str, value: Any) -> Any:
    """The value of the flag, a list of texts where it is a list.

    Raises:
      ValueError: if one is no number.
    """
    if not self.is_list:
      return value
    try:
      return [self.kind(text) for text in value]
    except ValueError as error:
      raise ValueError(
          f"--{name} takes {self._wanted()}. Received: {','.join(value)}"
      ) from error


def field(
    default: Any,
    help: str,  # As absl calls it.
    *,
    kind: type | None = None,
    lowest: float | None = None,
    highest: float | None = None,
    choices: Sequence[str] | None = None,
    is_path: bool = False,
) -> Any:
  """A field of the dataclass.

  Args:
    default: value; a list for a setting that is a list.
    help: of the flag.
    kind: type of the value, or of a list's; None for that of the default.
    lowest: the least value.
    highest: the greatest value.
    choices: what the value is one of.
    is_path: whether it is a path of this machine.

  Returns:
    A `dataclasses.field`.
  """
  is_list = isinstance(default, list)
  first = default[0] if is_list and default else default
  setting = Setting(
      help,
      kind or type(first),
      lowest,
      highest,
      None if choices is None else tuple(choices),
      is_list,
      is_path,
  )
  metadata = {"setting": setting}
  if is_list:
    return dataclasses.field(
        default_factory=lambda: list(default), metadata=metadata
    )
  return dataclasses.field(default=default, metadata=metadata)


def settings_of(config: Any) -> dict[str, tuple[Setting, Any]]:
  """The settings of a dataclass and their defaults, by name."""
  found = {}
  for each in dataclasses.fields(config):
    default = each.default
    if default is dataclasses.MISSING:
      default = each.default_factory()
    found[each.name] = each.metadata["setting"], default
  return found
