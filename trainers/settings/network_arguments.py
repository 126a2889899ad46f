"""Arguments of a network as text: `alpha=0.35`."""

from collections.abc import Sequence
import math

Argument = bool | int | float | str

_WORDS = {"true": True, "false": False}


def parse(texts: Sequence[str]) -> dict[str, Argument]:
  """Arguments by name.

  Args:
    texts: list of `NAME=VALUE`, of a number, `true`, `false` or a word.

  Raises:
    ValueError: if one is something else, or a name is there twice.
  """
  found = {}
  for text in texts:
    name, _, value = (part.strip() for part in text.partition("="))
    if not name.isidentifier() or not value or name in found:
      raise ValueError(
          "--network_args takes NAME=VALUE between commas, each name once, as "
          f"in alpha=0.35. Received: {','.join(texts)}"
      )
    found[name] = _value(value)
  return found


def _value(text):
  if text.lower() in _WORDS:
    return _WORDS[text.lower()]
  for kind in (int, float):
    try:
      value = kind(text)
    except ValueError:
      continue
    if math.isfinite(value):
      return value
  return text
