"""`find_residuals`: the residual blocks of a network, as a table."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import keras

from pgates.costs import model_macs
from pgates.layers import blocks as layer_blocks
from pgates.residuals import blocks
from pgates.residuals import calls as calls_lib
from pgates.residuals import openers as openers_lib
from pgates.residuals import reading


@dataclasses.dataclass(frozen=True)
class Residual:
  """A residual block of a network, or what looks like one.

  Args:
    name: of its addition; of a layer that hides its graph, of the layer.
    kind: of its shortcut: `identity`, `projection` or `pool`; `none` where
      there is no shortcut; `hidden` of a layer that hides its graph.
    layers: names of the layers of its branch, in call order.
    macs: multiply-adds of its branch; None where they are not known.
    share: of the multiply-adds of the model; None where they are not known.
    gateable: whether a gate can skip its branch.
    reason: why not; "" if it can.
    replaces: names of layers that drop the whole branch at random: a gate
      takes over their role.
  """

  name: str
  kind: str
  layers: tuple[str, ...]
  macs: int | None
  share: float | None
  gateable: bool
  reason: str
  replaces: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Residuals(Sequence):
  """The residual blocks of a network in call order; prints as a table.

  Args:
    model: its name.
    rows: a `Residual` each.
    macs: multiply-adds of the model; None where they are not known.
    unknown: why they are not known; "" if they are.
  """

  model: str
  rows: tuple[Residual, ...]
  macs: int | None
  unknown: str = ""

  def __getitem__(self, index):
    return self.rows[index]

  def __len__(self) -> int:
    return len(self.rows)

  def __iter__(self) -> Iterator[Residual]:
    return iter(self.rows)

  def __str__(self) -> str:
    header = ("name", "kind", "layers", "macs", "share", "gateable")
    cells = [header, *map(_cells, self.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = {2, 3, 4}
    lines = [
        "  ".join(
            text.rjust(width) if i in right else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([*lines, self._summary()])

  def _summary(self):
    gateable = [row for row in self.rows if row.gateable]
    text = f"{self.model}: {len(gateable)} of {len(self.rows)} gateable"
    if self.macs is None:
      return f"{text}; multiply-adds are not known: {self.unknown}"
    total = sum(row.macs for row in gateable)
    share = total / self.macs if self.macs else 0
    return f"{text}, {share:.0%} of {self.macs:,} multiply-adds"


def _cells(row):
  gateable = "yes" if row.gateable else f"no: {row.reason}"
  if row.gateable and row.replaces:
    gateable = f"yes, in place of {', '.join(row.replaces)}"
  return (
      row.name,
      row.kind,
      str(len(row.layers)),
      "?" if row.macs is None else f"{row.macs:,}",
      "?" if row.share is None else f"{row.share:.1%}",
      gateable,
  )


def find_residuals(
    model: keras.Model,
    *,
    macs: Mapping[str, int] | None = None,
    openers: openers_lib.Openers | None = None,
) -> Residuals:
  """Finds the residual blocks of a functional network.

  The network stays as it is. At an addition of two or more tensors (`Add`,
  `ops.add`, `+`), a side is the shortcut if it is the nearest tensor that all
  ways to the addition pass, or a projection or pooling of it. The rest is the
  branch, which can be gated if nothing made in it is used elsewhere. Of blocks
  in blocks, the innermost is gated. Models in the model are looked into.

  Args:
    model: a functional Keras model.
    macs: multiply-adds of branches by the names of blocks, for those with
      layers that `pgates.layer_macs` does not know.
    openers: for classes of layers that call layers of their own in Python, a
      function `(layer, *inputs) -> outputs` each, that does on symbolic tensors
      what the layer's `call` does. Its additions are then looked at, too, and
      are called after the layer. Where `call` makes use of layers and
      `keras.ops` alone, it is its own opener: `{Encoder: Encoder.call}`.
      KerasHub's ViT, MobileNet and EfficientNet need none.

  Returns:
    `Residuals`: a sequence of `Residual`, which prints as a table.

  Raises:
    ValueError: if the model has no graph, `macs` has a name that no block has,
      or an opener leaves out weights or returns what the layer does not.
  """
  graph = reading.read(model, openers)
  return table(model, graph, blocks.find(graph), macs)


def table(
    model: keras.Model,
    graph: calls_lib.Graph,
    found: Sequence[blocks.Block],
    macs: Mapping[str, int] | None,
) -> Residuals:
  """The blocks that were found in a graph, with what they cost.

  Args:
    model: that the graph was read from.
    graph: of the model.
    found: its blocks.
    macs: as of `find_residuals`.

  Returns:
    `Residuals`; the rows of blocks come first, in their order.
  """
  macs = dict(macs or {})
  names = [block.name for block in found]
  strangers = sorted(set(macs) - set(names))
  if strangers:
    raise ValueError(
        f"`macs` names no block: {strangers}. Received for a model with the "
        f"blocks {names}"
    )
  costs = _Costs(graph, found, macs)
  rows = [_row(block, costs) for block in found]
  rows += _hidden(graph, found)
  return Residuals(model.name, tuple(rows), costs.total, costs.unknown)


def _row(block, costs):
  own = costs.of(block)
  share = None
  if costs.total is not None and own is not None:
    share = own / costs.total if costs.total else 0.0
  return Residual(
      name=block.name,
      kind=block.kind or "none",
      layers=tuple(call.name for call in block.branch),
      macs=own,
      share=share,
      gateable=block.reason is None,
      reason=block.reason or "",
      replaces=tuple(call.name for call in block.drops),
  )


def _hidden(graph, found):
  """Rows of what may hold blocks, and does not show them."""
  inside = {
      call for block in found if block.reason is None for call in block.branch
  }
  for call in graph.calls:
    reason = call.hidden or _why_opaque(call.operation)
    if reason and call not in inside:
      yield Residual(call.name, "hidden", (), None, None, False, reason)


def _why_opaque(layer):
  """Why a layer does not show what it calls; None if there is nothing in it."""
  is_own = type(layer).__module__.startswith("keras.")
  if is_own or not isinstance(layer, keras.layers.Layer):
    return None
  if isinstance(layer, layer_blocks.GatedResidual):
    return None
  if isinstance(layer, keras.Model) and reading.has_graph(layer):
    return None
  inner = {id(each) for value in vars(layer).values() for each in _in(value)}
  if len(inner) < 2:
    return None
  return (
      f"a {type(layer).__name__} holds {len(inner)} layers or more, and calls "
      "them in code of its own: `openers=` can show it"
  )


def _in(value):
  """The layers that an attribute of a layer holds."""
  values = value if isinstance(value, (list, tuple)) else [value]
  return [each for each in values if isinstance(each, keras.layers.Layer)]


class _Costs:
  """Multiply-adds of blocks and of a whole graph, where they are known."""

  def __init__(self, graph, found, macs):
    self.unknown = ""
    self._calls, self._macs = {}, macs
    given = {
        id(call)
        for block in found
        if block.name in macs
        for call in block.branch
    }
    for call in graph.calls:
      if id(call) not in given:
        self._calls[id(call)] = self._count(call)
    counts = [*self._calls.values(), *macs.values()]
    self.total = None if None in counts else sum(counts)

  def _count(self, call):
    try:
      return model_macs.call_macs(call.operation, call.args, call.kwargs)
    except ValueError as error:
      self.unknown = self.unknown or str(error)
      return None

  def of(self, block) -> int | None:
    """Multiply-adds of the branch of a block."""
    if block.name in self._macs:
      return self._macs[block.name]
    counts = [self._calls.get(id(call)) for call in block.branch]
    return None if None in counts else sum(counts)
