"""Rules: how the logit of a gate becomes a decision."""

import dataclasses
import math

NAMES = ("sampled", "map", "threshold", "always_open", "expected")
# Of MAP: a gate opens where that is the likelier decision.
MAP_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class Rule:
  """One rule, by name, and what follows from it.

  Args:
    name: one of `NAMES`.
    argument: of `threshold`, the probability above which a gate opens; None
      leaves it to a tensor given with the call.
  """

  name: str
  argument: float | None = None

  @property
  def is_random(self) -> bool:
    """Whether decisions are drawn."""
    return self.name == "sampled"

  @property
  def threshold(self) -> float | None:
    """The probability above which gates open; None if that is not the rule."""
    return MAP_THRESHOLD if self.name == "map" else self.argument

  @property
  def runs_all(self) -> bool:
    """Whether every block runs."""
    return self.name in ("always_open", "expected")

  @property
  def scales(self) -> bool:
    """Whether branches are multiplied by P(open)."""
    return self.name == "expected"

  def __str__(self) -> str:
    if self.argument is None:
      return self.name
    return f"{self.name}:{self.argument!r}"


def parse(text: str | Rule) -> Rule:
  """Reads the flag form of a rule: `"map"`, `"threshold:0.3"`, ...

  Args:
    text: a name out of `NAMES`; `threshold` may be followed by `:T`. A `Rule`
      is returned as it is.

  Returns:
    A `Rule`.

  Raises:
    ValueError: if the name is unknown or T is not a probability.
  """
  if isinstance(text, Rule):
    return text
  name, _, argument = str(text).partition(":")
  if name not in NAMES or (argument and name != "threshold"):
    raise ValueError(
        f"Expected a rule out of {', '.join(NAMES)} (threshold as "
        f"'threshold:0.3'). Received: {text!r}"
    )
  if not argument:
    return Rule(name)
  try:
    threshold = float(argument)
  except ValueError:
    threshold = math.nan
  if not 0.0 <= threshold <= 1.0:
    raise ValueError(
        "Expected a threshold between 0 and 1, as in 'threshold:0.3'. "
        f"Received: {text!r}"
    )
  return Rule(name, threshold)
