"""The kinds of gates that networks can be built with, by name.

A new kind: a subclass of `gates.Gate` in a file of its own, and its line here
(docs/extending.md).
"""

from collections.abc import Callable
from collections.abc import Collection

from pgates.layers import data_dependent_gate
from pgates.layers import data_independent_gate
from pgates.layers import gates
from pgates.layers import hard_concrete_gate
from pgates.layers import stochastic_depth_gate

KINDS: dict[str, type[gates.Gate]] = {
    "dependent": data_dependent_gate.DataDependentGate,
    "independent": data_independent_gate.DataIndependentGate,
    "hard_concrete": hard_concrete_gate.HardConcreteGate,
    "stochastic_depth": stochastic_depth_gate.StochasticDepthGate,
}
NAMES = (*KINDS, "none")

# From the index of a block, and the number of blocks, to its gate or None.
GateFactory = Callable[[int, int], gates.Gate | None]


def is_learned(name: str) -> bool:
  """Whether training moves the probabilities of gates of this name."""
  return name in KINDS and KINDS[name].is_learned


def factory(
    kind: str | type[gates.Gate] | GateFactory,
    settings: gates.GateSettings | None = None,
) -> GateFactory:
  """What makes the gate of each block.

  Args:
    kind: a name out of `NAMES`, a subclass of `Gate`, or a factory, which is
      returned as it is.
    settings: of all gates; None for the defaults.

  Returns:
    A callable `(block_index, num_blocks) -> gate layer or None`.

  Raises:
    ValueError: if the kind is unknown.
  """
  if kind == "none":
    return lambda index, num_blocks: None
  if isinstance(kind, str):
    kind = KINDS.get(kind, kind)
  if isinstance(kind, type) and issubclass(kind, gates.Gate):
    settings = settings or gates.GateSettings()
    return lambda index, num_blocks: kind.for_block(index, num_blocks, settings)
  if not callable(kind):
    raise ValueError(
        f"`gate` must be one of {NAMES}, a subclass of `pgates.Gate`, or a "
        "callable (block_index, num_blocks) -> layer or None. "
        f"Received: {kind!r}"
    )
  return kind


def make_gates(
    kind: str | type[gates.Gate] | GateFactory,
    num_blocks: int,
    *,
    settings: gates.GateSettings | None = None,
    always_open: Collection[int] = (),
) -> list[gates.Gate | None]:
  """The gates of the blocks of a network.

  Args:
    kind: as of `factory`.
    num_blocks: of the network.
    settings: as of `factory`.
    always_open: indices of blocks that always run and carry no gate.

  Returns:
    A gate layer for each block, or None.

  Raises:
    ValueError: if the kind is unknown, or there is no block of an index.
  """
  outside = [i for i in always_open if not 0 <= i < num_blocks]
  if outside:
    raise ValueError(
        f"`always_open` holds indices of blocks, 0 to {num_blocks - 1}. "
        f"Received: {outside}"
    )
  make = factory(kind, settings)
  return [
      None if i in set(always_open) else make(i, num_blocks)
      for i in range(num_blocks)
  ]
