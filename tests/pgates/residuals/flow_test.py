"""Tests of pgates/residuals/flow.py."""

import keras

from pgates.residuals import flow
from pgates.residuals import reading

layers = keras.layers


def _tapped():
  """x -> a -> (b, c) -> add -> d, with c an output too."""
  x = keras.Input((4,))
  a = layers.Dense(4, name="a")(x)
  b = layers.Dense(4, name="b")(a)
  c = layers.Dense(4, name="c")(a)
  d = layers.Dense(4, name="d")(layers.Add(name="add")([b, c]))
  graph = reading.read(keras.Model(x, [d, c]))
  return flow.Flow(graph), {call.name: call for call in graph.calls}, graph


def _result(call):
  return call.results[0]


def test_makers_users_and_origins():
  found, by_name, graph = _tapped()
  a, b, c, add = (_result(by_name[name]) for name in ("a", "b", "c", "add"))
  assert found.maker(a) is by_name["a"] and found.maker(graph.inputs) is None
  assert {call.name for call in found.users(a)} == {"b", "c"}
  assert found.users(_result(by_name["d"])) == []
  assert found.origin(add) is a
  assert found.origin(b) is a and found.origin(c) is a
  assert found.origin(a) is graph.inputs and found.origin(graph.inputs) is None


def test_calls_between_two_tensors():
  found, by_name, graph = _tapped()

  def names(start, end):
    return [call.name for call in found.between(start, end)]

  a, add = _result(by_name["a"]), _result(by_name["add"])
  assert sorted(names(a, add)) == ["add", "b", "c"]
  assert names(a, add)[-1] == "add"
  assert names(a, a) == []
  assert sorted(names(graph.inputs, add)) == ["a", "add", "b", "c"]


def test_what_leaves_is_named():
  found, by_name, _ = _tapped()
  add = by_name["add"]
  assert found.leaves([by_name["b"]], to=add) is None
  assert found.leaves([by_name["c"]], to=add) == (
      "c",
      "an output of the model",
  )
  assert found.leaves([by_name["a"], by_name["b"]], to=add) == ("a", "c")
