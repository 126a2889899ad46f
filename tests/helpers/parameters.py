"""Parameters that are tried at every change, and those only by `make test-all`.

    @pytest.mark.parametrize("kind", parameters.slow_after(1, KINDS))

Tuples are the values of several arguments, as pytest has it.
"""

import pytest


def slow_after(count, values):
  """The values, of which only the first `count` are fast."""
  return [
      value if place < count else _slow(value)
      for place, value in enumerate(values)
  ]


def slow_but(fast, values):
  """The values, of which only those of the container `fast` are so."""
  values = list(values)
  unknown = [value for value in fast if value not in values]
  assert not unknown, f"None of the parameters: {unknown}"
  return [value if value in fast else _slow(value) for value in values]


def _slow(value):
  values = value if isinstance(value, tuple) else (value,)
  return pytest.param(*values, marks=pytest.mark.slow)
