"""Residual blocks in a graph: what is shortcut, what is branch, what is not.

At an addition, the origin of its sides is the nearest tensor that all ways to
it pass. A side is the shortcut if it is the origin, or a projection or pooling
of it; the rest is the branch. It is closed if nothing made in it is used
elsewhere.
"""

import dataclasses

import keras

from pgates.layers import keras_masks
from pgates.layers import sublayers
from pgates.residuals import calls as calls_lib
from pgates.residuals import flow as flow_lib

_layers = keras.layers
_POOLS = (
    *(_layers.AveragePooling1D, _layers.AveragePooling2D),
    *(_layers.AveragePooling3D, _layers.MaxPooling1D),
    *(_layers.MaxPooling2D, _layers.MaxPooling3D),
    *(_layers.Cropping1D, _layers.Cropping2D, _layers.Cropping3D),
    *(_layers.ZeroPadding1D, _layers.ZeroPadding2D, _layers.ZeroPadding3D),
    _layers.Identity,
)
_NORMS = (
    _layers.BatchNormalization,
    _layers.GroupNormalization,
    _layers.LayerNormalization,
)
_CONVOLUTIONS = (_layers.Conv1D, _layers.Conv2D, _layers.Conv3D)


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
  """What was found at one addition.

  Args:
    addition: the call that adds.
    kind: of the shortcut, `identity`, `projection` or `pool`; None if there
      is none.
    origin: the tensor that shortcut and branch start from, or None.
    shortcut: its calls; none of an identity.
    branch: its calls.
    sides: the tensors that are the ends of the branch.
    end: the end of the shortcut.
    reason: why it cannot be gated; None if it can.
  """

  addition: calls_lib.Call
  kind: str | None = None
  origin: keras.KerasTensor | None = None
  shortcut: tuple[calls_lib.Call, ...] = ()
  branch: tuple[calls_lib.Call, ...] = ()
  sides: tuple[keras.KerasTensor, ...] = ()
  end: keras.KerasTensor | None = None
  reason: str | None = None

  @property
  def name(self) -> str:
    """That of the addition."""
    return self.addition.name

  @property
  def drops(self) -> tuple[calls_lib.Call, ...]:
    """Calls at the ends of the branch that drop it as a whole at random."""
    return tuple(
        call
        for call in self.branch
        if _drops_all(call.operation)
        and any(side is call.results[0] for side in self.sides)
    )


def find(graph: calls_lib.Graph) -> list[Block]:
  """The additions of a graph, in its order, and what is at each.

  Args:
    graph: as read from a model.

  Returns:
    A list of `Block`.
  """
  flow = flow_lib.Flow(graph)
  uses = {}
  for call in graph.calls:
    uses.setdefault(id(call.operation), set()).add(call)
  found, gateable = [], []
  for call in graph.calls:
    if not calls_lib.is_addition(call.operation) or len(call.inputs) < 2:
      continue
    block = _at(call, flow)
    if block.reason is None:
      reason = _why_not(block, flow, uses, gateable)
      block = dataclasses.replace(block, reason=reason)
    if block.reason is None:
      gateable.append(block)
    found.append(block)
  return found


def _drops_all(layer):
  """Whether a layer drops all of an example, or nothing."""
  # Each library has a class of its own.
  if type(layer).__name__ in ("DropPath", "StochasticDepth"):
    return True
  noise_shape = getattr(layer, "noise_shape", None)
  return (
      isinstance(layer, keras.layers.Dropout)
      and bool(noise_shape)
      and noise_shape[0] != 1
      and all(size == 1 for size in noise_shape[1:])
  )


def _at(addition, flow):
  """The block at an addition, as far as its shape tells."""
  ends = addition.inputs
  origin = flow.origin(addition.results[0])
  if origin is None:
    around = _around(ends, flow)
    return Block(addition, reason=around or "its sides have no common origin")
  ways = [flow.between(origin, end) for end in ends]
  kinds = [_kind(origin, end, way) for end, way in zip(ends, ways, strict=True)]
  order = {"identity": 0, "pool": 1, "projection": 2}
  # Of two that could be, the shorter one.
  chosen = min(
      (i for i, kind in enumerate(kinds) if kind and _is_apart(i, ways)),
      key=lambda i: (order[kinds[i]] > 0, len(ways[i]), order[kinds[i]]),
      default=None,
  )
  if chosen is None:
    around = _around(ends, flow)
    return Block(
        addition,
        reason=around
        or "no side is a shortcut (identity, projection or pooling)",
    )
  rest = [i for i in range(len(ends)) if i != chosen]
  branch = {id(call): call for i in rest for call in ways[i]}
  return Block(
      addition,
      kind=kinds[chosen],
      origin=origin,
      shortcut=tuple(ways[chosen]),
      branch=tuple(flow.in_order(branch.values())),
      sides=tuple(ends[i] for i in rest),
      end=ends[chosen],
  )


def _is_apart(index, ways):
  """Whether a way shares no call with the others."""
  others = {call for i, way in enumerate(ways) if i != index for call in way}
  return others.isdisjoint(ways[index])


def _kind(origin, end, way):
  """What a side is as a shortcut; None if it is none."""
  if end is origin:
    return "identity"
  tensor, convolutions = origin, 0
  for call in way:
    if [id(each) for each in call.inputs] != [id(tensor)]:
      return None
    (tensor,) = call.results
    layer = call.operation
    if _is_projection(layer):
      convolutions += 1
    elif not isinstance(layer, _POOLS + _NORMS):
      return None
  if convolutions > 1:
    return None
  if convolutions or any(isinstance(call.operation, _NORMS) for call in way):
    return "projection"
  return "pool"


def _is_projection(layer):
  if isinstance(layer, _CONVOLUTIONS):
    is_small = all(size == 1 for size in layer.kernel_size)
    return is_small and layer.activation is keras.activations.linear
  return (
      isinstance(layer, keras.layers.Dense)
      and layer.activation is keras.activations.linear
  )


def _around(ends, flow):
  """The message for a branch that reads more than one of the sides."""
  for start in ends:
    others = [end for end in ends if end is not start]
    before = flow.between(None, start)
    for end in others:
      way = flow.between(start, end)
      if any(t is start for call in way for t in call.inputs):
        outside = [
            each
            for call in way
            if call not in before
            for each in call.inputs
            if each is not start
            and (flow.maker(each) is None or flow.maker(each) in before)
        ]
        if outside:
          return (
              f"its branch also reads {_source(outside[0], flow)!r}, from "
              "outside of it"
          )
  return None


def _source(tensor, flow):
  call = flow.maker(tensor)
  return tensor.name if call is None else call.name


def _why_not(block, flow, uses, gateable):
  """Why a block of the right shape cannot be gated; None if it can."""
  if not block.branch:
    return "there is no layer in its branch"
  inner = [each.name for each in gateable if each.addition in block.branch]
  if inner:
    return f"its branch holds {inner[-1]}, which is gated in its stead"
  return (
      _why_open(block, flow)
      or _why_other_tensors(block)
      or _why_layers(block, uses)
      or _why_order(block)
  )


def _why_open(block, flow):
  for part, calls in (("branch", block.branch), ("shortcut", block.shortcut)):
    left = flow.leaves(calls, to=block.addition)
    if left is not None:
      made, used = left
      return f"{made}, in its {part}, is used elsewhere: by {used}"
  return None


def _why_other_tensors(block):
  (total,) = block.addition.results
  if len(total.shape) < 2:
    return "it is a sum of scalars"
  for side in (block.end, *block.sides):
    if side.shape != total.shape:
      return f"the addition changes shapes: {side.shape} to {total.shape}"
  for tensor in (block.origin, block.end, *block.sides):
    if tensor.dtype != total.dtype:
      return f"the addition changes types: {tensor.dtype} to {total.dtype}"
  if any(keras_masks.mask_of(t) is not None for t in (block.origin, total)):
    return "its tensors carry a mask, which a gated block does not pass on"
  return None


def _why_layers(block, uses):
  own = {*block.branch, *block.shortcut}
  for call in own:
    layer = call.operation
    if not isinstance(layer, keras.layers.Layer):
      continue
    if uses[id(layer)] - own:
      return f"its layer {layer.name} is called elsewhere too"
    for each in sublayers.descendants(layer):
      if getattr(each, "stateful", False):
        return f"its layer {each.name} keeps a state from batch to batch"
    try:
      sublayers.check_channels_last(
          sublayers.descendants(layer), where="its branch"
      )
    except ValueError:
      return f"its layer {layer.name} has its channels first"
  return None


def _why_order(block):
  # (a + b) + c: in floating point, only the last one can be left out.
  ends = block.addition.inputs
  if len(ends) > 2 and ends[-1] is not block.end:
    return (
        f"it adds {len(ends)} tensors, and the shortcut is not the last one: "
        "an open gate would round its sum differently. Give the shortcut last, "
        "or add two by two"
    )
  return None
