"""The calls that a functional model makes, read from its graph.

Of Keras's public functions only `clone_model` shows them. Here they become a
plain list, in an order in which they can be made; models that are called in it
are written out, where that shows an addition.
"""

from collections.abc import Iterable
import dataclasses
import inspect
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
    hidden: why a model that is called here was not written out; or None.
  """

  operation: keras.Operation
  args: tuple
  kwargs: dict[str, Any]
  outputs: Any
  hidden: str | None = None

  @property
  def name(self) -> str:
    """That of the operation."""
    return self.operation.name

  @property
  def inputs(self) -> list[keras.KerasTensor]:
    """The tensors among the arguments; one that is given twice, twice."""
    return _tensors((self.args, self.kwargs))

  @property
  def results(self) -> list[keras.KerasTensor]:
    """The tensors that it returned."""
    return _tensors(self.outputs)


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


def read(model: keras.Model) -> Graph:
  """Reads the graph of a functional model, which stays as it is.

  Args:
    model: a functional Keras model, built.

  Returns:
    A `Graph`.

  Raises:
    ValueError: if the model has no graph, or overrides `call`.
  """
  if not has_graph(model):
    raise ValueError(
        f"{model.name} ({type(model).__name__}) has no graph of layers to look "
        "at: it is no functional model, keras.Model(inputs, outputs), or not "
        "built, or one that overrides `call`. In a `call` of your own, gate a "
        "block with pgates.GatedResidual(branch, gate=...)."
    )
  inputs = keras.tree.map_structure(_input_like, model.input)
  reader = _Reader(taken={each.name: each for each in _operations(model)})
  outputs = reader.read(model, inputs, training=None)
  return Graph(inputs, outputs, tuple(reader.calls))


def replay(calls: Iterable[Call], tensors: dict[int, Any]) -> None:
  """Makes calls anew, on other tensors.

  Args:
    calls: of a `Graph`, in its order.
    tensors: what stands for a tensor of the graph, by its id; those that the
      calls return are added.
  """
  for call in calls:
    args, kwargs = substitute((call.args, call.kwargs), tensors)
    outputs = call.operation(*args, **kwargs)
    for old, new in zip(call.results, _tensors(outputs), strict=True):
      tensors[id(old)] = new


def substitute(structure: Any, tensors: dict[int, Any]) -> Any:
  """A structure with other tensors in it, by the ids of its own."""
  return keras.tree.map_structure(
      lambda each: tensors.get(id(each), each)
      if isinstance(each, keras.KerasTensor)
      else each,
      structure,
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


class _Reader:
  """Collects calls, those of models in models too.

  Args:
    taken: the operations of the outermost model by their names. In one graph
      no other may have the same.
  """

  def __init__(self, taken):
    self.calls = []
    self._taken = taken
    # Of a model that is written out: its result, and what stands for it.
    self._same = {}
    self._kept = []  # So that ids stay unique.

  def read(self, model, inputs, *, training):
    """Adds the calls of a model on inputs; returns its outputs."""

    def call(operation, *args, **kwargs):
      return self._call(operation, args, kwargs, training=training)

    clone = keras.models.clone_model(
        keras.Model(model.input, model.output),
        input_tensors=inputs,
        clone_function=lambda layer: layer,
        call_function=call,
    )
    return substitute(clone.output, self._same)

  def _call(self, operation, args, kwargs, *, training):
    if training is not None and _takes_training(operation):
      kwargs = {**kwargs, "training": training}
    outputs = operation(*args, **kwargs)
    own_args, own_kwargs = substitute((args, kwargs), self._same)
    hidden = None
    if isinstance(operation, keras.Model) and _holds_addition(operation):
      hidden = self._why_hidden(operation, args, kwargs)
      if hidden is None:
        self._enter(operation, own_args, own_kwargs, outputs)
        return outputs
    self.calls.append(Call(operation, own_args, own_kwargs, outputs, hidden))
    return outputs

  def _why_hidden(self, model, args, kwargs):
    if not has_graph(model):
      return "it overrides `call`, so that its graph is not what it does"
    given = {name for name, value in kwargs.items() if value is not None}
    if len(args) != 1 or given - {"training"}:
      return f"it is called with {sorted(given) or 'several arguments'}"
    clashes = [
        each.name
        for each in _operations(model)
        if self._taken.setdefault(each.name, each) is not each
    ]
    if clashes:
      return f"names in it are used elsewhere too: {', '.join(clashes[:3])}"
    return None

  def _enter(self, model, args, kwargs, outputs):
    # Fresh inputs, but of the sizes that the model is called at here.
    given = _tensors(args)
    fresh = [
        keras.Input(batch_shape=new.shape, dtype=old.dtype, name=old.name)
        for new, old in zip(given, _tensors(model.input), strict=True)
    ]
    self._kept.extend([*fresh, outputs])
    self._same.update(
        {id(old): new for old, new in zip(fresh, given, strict=True)}
    )
    inner = self.read(
        model,
        keras.tree.pack_sequence_as(model.input, fresh),
        training=kwargs.get("training"),
    )
    self._same.update(
        {
            id(old): new
            for old, new in zip(_tensors(outputs), _tensors(inner), strict=True)
        }
    )


def _tensors(structure):
  return [
      each
      for each in keras.tree.flatten(structure)
      if isinstance(each, keras.KerasTensor)
  ]


def _input_like(tensor):
  return keras.Input(
      batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
  )


def has_graph(model: keras.Model) -> bool:
  """Whether a model does what its graph says, and nothing else."""
  if isinstance(model, keras.Sequential):
    return model.built and type(model).call is keras.Sequential.call
  if not hasattr(model, "operations"):
    return False
  plain = keras.Model(model.input, model.output)
  return type(model).call is type(plain).call


def _operations(model):
  """The operations of a model, without its inputs."""
  return [
      each
      for each in getattr(model, "operations", None) or model.layers
      if not isinstance(each, keras.layers.InputLayer)
  ]


def _holds_addition(model):
  return any(
      _holds_addition(each)
      if isinstance(each, keras.Model)
      else is_addition(each)
      for each in _operations(model)
  )


def _takes_training(operation):
  return "training" in inspect.signature(operation.call).parameters
