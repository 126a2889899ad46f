"""Refuses arguments that are out of range."""

import numbers


def check_integer(name: str, value: int, *, minimum: int | None = None) -> None:
  """Raises a ValueError for what is no integer, or too small a one."""
  is_integer = isinstance(value, numbers.Integral)
  if not is_integer or (minimum is not None and value < minimum):
    bound = "" if minimum is None else f" of at least {minimum}"
    raise ValueError(f"Expected {name} to be an integer{bound}; got {value!r}.")
