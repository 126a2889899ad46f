"""How tensors flow through the calls of a graph."""

from collections.abc import Iterable

import keras

from pgates.residuals import calls as calls_lib
from pgates.residuals import dominators


class Flow:
  """Who makes and who uses each tensor of a graph.

  Args:
    graph: as read from a model.
  """

  def __init__(self, graph: calls_lib.Graph):
    self.outputs = {id(each) for each in keras.tree.flatten(graph.outputs)}
    self._tensors, self._numbers = [], {}
    self._makers, self._users = {}, {}
    before = []
    for each in keras.tree.flatten(graph.inputs):
      self._number(each)
      before.append([])
    for call in graph.calls:
      inputs = [t for t in call.inputs if id(t) in self._numbers]
      for each in inputs:
        users = self._users.setdefault(id(each), [])
        if call not in users:
          users.append(call)
      for each in call.results:
        self._makers[id(each)] = call
        self._number(each)
        before.append([self._numbers[id(t)] for t in inputs])
    self._dominators = dominators.immediate_dominators(before)

  def _number(self, tensor):
    self._numbers[id(tensor)] = len(self._tensors)
    self._tensors.append(tensor)

  def maker(self, tensor: keras.KerasTensor) -> calls_lib.Call | None:
    """The call that returned a tensor; None of an input of the model."""
    return self._makers.get(id(tensor))

  def users(self, tensor: keras.KerasTensor) -> list[calls_lib.Call]:
    """The calls that a tensor is given to."""
    return self._users.get(id(tensor), [])

  def origin(self, tensor: keras.KerasTensor) -> keras.KerasTensor | None:
    """The nearest tensor that all ways from an input to this one pass."""
    number = self._dominators[self._numbers[id(tensor)]]
    return None if number is None else self._tensors[number]

  def between(
      self, start: keras.KerasTensor, end: keras.KerasTensor
  ) -> list[calls_lib.Call]:
    """The calls that lead to `end`, back to where they read `start`.

    Args:
      start: a tensor.
      end: a tensor.

    Returns:
      A list in the order of the graph; it may reach back to the inputs of the
      model, where there are ways around `start`.
    """
    found, waiting = {}, [end]
    while waiting:
      tensor = waiting.pop()
      call = self.maker(tensor)
      if tensor is start or call is None or id(call) in found:
        continue
      found[id(call)] = call
      waiting.extend(call.inputs)
    return self.in_order(found.values())

  def in_order(self, calls: Iterable[calls_lib.Call]) -> list[calls_lib.Call]:
    """Calls, in the order of the graph."""
    return sorted(calls, key=lambda call: self._numbers[id(call.results[0])])

  def leaves(
      self, calls: Iterable[calls_lib.Call], *, to: calls_lib.Call
  ) -> tuple[str, str] | None:
    """Where a tensor of some calls is used by others.

    Args:
      calls: a list of them.
      to: the one further call that may use them.

    Returns:
      The names of the call that made it and of the one that uses it, or of
      "an output of the model"; None where there is no such use.
    """
    inside = {id(call) for call in calls} | {id(to)}
    for call in calls:
      for tensor in call.results:
        if id(tensor) in self.outputs:
          return call.name, "an output of the model"
        for user in self.users(tensor):
          if id(user) not in inside:
            return call.name, user.name
    return None
