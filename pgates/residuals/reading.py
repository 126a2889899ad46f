"""Reads the calls of a functional model from its graph.

Of Keras's public functions only `clone_model` shows them. Here they become a
plain list, in an order in which they can be made. Models that are called in it
are written out, where that shows an addition; so are layers with an opener.
"""

import inspect
import re

import keras

from pgates.residuals import calls as calls_lib
from pgates.residuals import openers as openers_lib


def read(
    model: keras.Model, openers: openers_lib.Openers | None = None
) -> calls_lib.Graph:
  """Reads the graph of a functional model, which stays as it is.

  Args:
    model: a functional Keras model, built.
    openers: for classes of layers that are to be written out, functions of a
      layer and its inputs.

  Returns:
    A `Graph`.

  Raises:
    ValueError: if the model has no graph, or overrides `call`, or an opener
      does not do what its layer does.
    TypeError: if `openers` is something else.
  """
  openers_lib.check(openers or {})
  if not has_graph(model):
    raise ValueError(
        f"{model.name} ({type(model).__name__}) has no graph of layers to look "
        "at: it is no functional model, keras.Model(inputs, outputs), or not "
        "built, or one that overrides `call`. In a `call` of your own, gate a "
        "block with pgates.GatedResidual(branch, gate=...)."
    )
  inputs = keras.tree.map_structure(calls_lib.input_like, model.input)
  taken = {each.name: each for each in _operations(model)}
  reader = _Reader(taken, openers or {})
  outputs = reader.read(model, inputs, training=None)
  return calls_lib.Graph(inputs, outputs, tuple(reader.calls))


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


def _shows_addition(model, openers):
  """Whether there is an addition in a model, or a layer to be opened."""
  return any(
      _shows_addition(each, openers)
      if isinstance(each, keras.Model)
      else calls_lib.is_addition(each) or openers_lib.find(each, openers)
      for each in _operations(model)
  )


def _takes_training(operation):
  return "training" in inspect.signature(operation.call).parameters


class _Reader:
  """Collects calls, those of models and opened layers in models too.

  Args:
    taken: the operations of the outermost model by their names. In one graph
      no other may have the same.
    openers: by the classes of layers.
  """

  def __init__(self, taken, openers):
    self.calls = []
    self._taken, self._openers = taken, openers
    self._scope = ""  # The names of the layers that are open here.
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
    return calls_lib.substitute(clone.output, self._same)

  def _call(self, operation, args, kwargs, *, training):
    if training is not None and _takes_training(operation):
      kwargs = {**kwargs, "training": training}
    outputs = operation(*args, **kwargs)
    hidden, opener = None, openers_lib.find(operation, self._openers)
    if opener is not None:
      hidden = openers_lib.why_not(args, kwargs)
      if hidden is None:
        scope, self._scope = self._scope, self._scoped(operation.name)
        inner = openers_lib.opened(operation, opener, args, outputs)
        # As Keras does, where the layer itself takes no `training`.
        given = calls_lib.distinct_in(args)
        self._enter(inner, given, outputs, kwargs.get("training", training))
        self._scope = scope
        return outputs
    elif isinstance(operation, keras.Model) and _shows_addition(
        operation, self._openers
    ):
      hidden = self._why_hidden(operation, args, kwargs)
      if hidden is None:
        given = calls_lib.tensors_in(args)
        self._enter(operation, given, outputs, kwargs.get("training"))
        return outputs
    args, kwargs = calls_lib.substitute((args, kwargs), self._same)
    self.calls.append(
        calls_lib.Call(
            operation, args, kwargs, outputs, self._name(operation), hidden
        )
    )
    return outputs

  def _name(self, operation):
    """The name of a call, which in an opened layer is that of no other."""
    own = operation.name
    if not self._scope:
      return own
    # An opener's `+` is named anew each time that the network is read.
    if calls_lib.is_addition(operation) and re.fullmatch(r"add_\d+", own):
      own = "add"
    name = first = self._scoped(own)
    count = 0
    while name in self._taken:
      count += 1
      name = f"{first}_{count}"
    self._taken[name] = operation
    return name

  def _scoped(self, name):
    """A name after that of the layer that is open, unless it is so already."""
    prefix = f"{self._scope}_" if self._scope else ""
    return name if name.startswith(prefix) else f"{prefix}{name}"

  def _why_hidden(self, model, args, kwargs):
    if not has_graph(model):
      return "it overrides `call`, so that its graph is not what it does"
    given = {name for name, value in kwargs.items() if value is not None}
    if len(args) != 1 or given - {"training"}:
      return f"it is called with {sorted(given) or 'several arguments'}"
    if self._scope:
      return None
    clashes = [
        each.name
        for each in _operations(model)
        if self._taken.setdefault(each.name, each) is not each
    ]
    if clashes:
      return f"names in it are used elsewhere too: {', '.join(clashes[:3])}"
    return None

  def _enter(self, model, given, outputs, training):
    given = calls_lib.substitute(given, self._same)
    # Fresh inputs, but of the sizes that the model is called at here.
    fresh = [
        keras.Input(batch_shape=new.shape, dtype=old.dtype, name=old.name)
        for new, old in zip(
            given, calls_lib.tensors_in(model.input), strict=True
        )
    ]
    self._kept.extend([*fresh, outputs])
    self._same.update(
        {id(old): new for old, new in zip(fresh, given, strict=True)}
    )
    inputs = keras.tree.pack_sequence_as(model.input, fresh)
    inner = self.read(model, inputs, training=training)
    self._same.update(
        {
            id(old): new
            for old, new in zip(
                calls_lib.tensors_in(outputs),
                calls_lib.tensors_in(inner),
                strict=True,
            )
        }
    )
