"""The calls that a functional model makes, and how to make them anew."""

from collections.abc import Iterable
import dataclasses
from typing import Any

import keras


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
  """One call of a layer or of an operation.

  Args:
    operation: the layer, or the operation of `keras.ops`.
    args: positional arguments; tensors stand for themselves.
    kwargs: arguments by name.
    outputs: what it returned.
    name: of the operation; in a layer that is written out, where other layers
      may have the same, after the name of that layer.
    hidden: why a layer that is called here was not written out; or None.
  """

  operation: keras.Operation
  args: tuple
  kwargs: dict[str, Any]
  outputs: Any
  name: str
  hidden: str | None = None

  @property
  def inputs(self) -> list[keras.KerasTensor]:
    """The tensors among the arguments; one that is given twice, twice."""
    return tensors_in((self.args, self.kwargs))

  @property
  def results(self) -> list[keras.KerasTensor]:
    """The tensors that it returned."""
    return tensors_in(self.outputs)


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
  """The calls between the inputs and the outputs of a model.

  Args:
    inputs: fresh ones, in the structure of the model's.
    outputs: in the structure of the model's.
    calls: in an order in which they can be made.
  """

  inputs: Any
  outputs: Any
  calls: tuple[Call, ...]


def replay(
    calls: Iterable[Call],
    tensors: dict[int, Any],
    names: dict[str, keras.Operation] | None = None,
) -> None:
  """Makes calls anew, on other tensors.

  Args:
    calls: of a `Graph`, in its order.
    tensors: what stands for a tensor of the graph, by its id; those that the
      calls return are added.
    names: the operations of the model that is being made, by their names; those
      that are called are added. None where these calls are all of it.
  """
  names = {} if names is None else names
  for call in calls:
    args, kwargs = substitute((call.args, call.kwargs), tensors)
    # In one model no two operations may have the same name.
    if names.setdefault(call.operation.name, call.operation) is call.operation:
      outputs = call.operation(*args, **kwargs)
    else:
      outputs = _in_a_model(call, args, kwargs)
    for old, new in zip(call.results, tensors_in(outputs), strict=True):
      tensors[id(old)] = new


def _in_a_model(call, args, kwargs):
  """Makes a call within a model that has the name of the call."""
  given = distinct_in((args, kwargs))
  fresh = {id(each): input_like(each) for each in given}
  args, kwargs = substitute((args, kwargs), fresh)
  outputs = call.operation(*args, **kwargs)
  model = keras.Model([*fresh.values()], outputs, name=call.name)
  return model(given)


def substitute(structure: Any, tensors: dict[int, Any]) -> Any:
  """A structure with other tensors in it, by the ids of its own."""
  return keras.tree.map_structure(
      lambda each: tensors.get(id(each), each)
      if isinstance(each, keras.KerasTensor)
      else each,
      structure,
  )


def tensors_in(structure: Any) -> list[keras.KerasTensor]:
  """The symbolic tensors of a structure, in its order."""
  return [
      each
      for each in keras.tree.flatten(structure)
      if isinstance(each, keras.KerasTensor)
  ]


def distinct_in(structure: Any) -> list[keras.KerasTensor]:
  """The symbolic tensors of a structure; one that is there twice, once."""
  return [*{id(each): each for each in tensors_in(structure)}.values()]


def input_like(tensor: keras.KerasTensor) -> keras.KerasTensor:
  """A fresh input of the shape, type and name of a tensor."""
  return keras.Input(
      batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
  )


def is_addition(operation: keras.Operation) -> bool:
  """Whether it adds tensors: `Add`, `ops.add`, `+`, or one that scales one."""
  # `keras.ops.Add` is not exported, nor is the layer of InceptionResNetV2.
  is_operation = not isinstance(operation, keras.layers.Layer)
  name = type(operation).__name__
  return (
      isinstance(operation, keras.layers.Add)
      or (is_operation and name == "Add")
      or is_scaled_addition(operation)
  )


def is_scaled_addition(operation: keras.Operation) -> bool:
  """Whether it is `inputs[0] + scale * inputs[1]`, as in InceptionResNetV2."""
  return type(operation).__name__ == "CustomScaleLayer" and isinstance(
      getattr(operation, "scale", None), float
  )
