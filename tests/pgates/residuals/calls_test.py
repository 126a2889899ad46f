"""Tests of pgates/residuals/calls.py."""

import dataclasses

import keras
import numpy as np
import pytest

from pgates.residuals import calls
from pgates.residuals import reading

layers = keras.layers


def test_replayed_calls_compute_what_the_model_computes():
  inputs = keras.Input((3, 4))
  x = layers.Dropout(0.5, name="drop")(layers.Dense(4)(inputs), training=True)
  outputs = {"head": layers.Dense(2)(layers.Add()([inputs, x]))}
  model = keras.Model(inputs, outputs)
  graph = reading.read(model)
  x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
  fresh = keras.Input((3, 4))
  tensors = {id(graph.inputs): fresh}
  calls.replay(graph.calls, tensors)
  again = keras.Model(fresh, calls.substitute(graph.outputs, tensors))
  assert [id(v) for v in again.weights] == [id(v) for v in model.weights]
  state = next(v for v in model.variables if "seed" in v.path)
  before = np.asarray(state)
  expected = model(x)["head"]
  state.assign(before)
  np.testing.assert_array_equal(again(x)["head"], expected)


def test_layers_of_one_name_are_told_apart_by_those_of_their_calls():
  """The second one is called in a model that has the name of the call."""
  keras.utils.set_random_seed(0)
  first, second = (layers.Dense(4, name="dense") for _ in range(2))
  x = keras.Input((4,))
  parts = [keras.Model(x, first(x)), keras.Model(x, second(x))]
  found = [*reading.read(parts[0]).calls, *reading.read(parts[1]).calls]
  y = keras.Input((4,))
  tensors, names = {id(call.inputs[0]): y for call in found}, {"other": None}
  found = [
      dataclasses.replace(call, name=f"call{i}") for i, call in enumerate(found)
  ]
  calls.replay(found, tensors, names)
  ends = [tensors[id(call.results[0])] for call in found]
  model = keras.Model(y, ends)
  assert [layer.name for layer in model.layers[1:]] == ["dense", "call1"]
  assert names == {"other": None, "dense": first}
  data = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
  for received, layer in zip(model(data), (first, second), strict=True):
    np.testing.assert_array_equal(received, layer(data))


@pytest.mark.parametrize(
    "add, expected",
    [
        (lambda a, b: layers.Add()([a, b]), True),
        (lambda a, b: keras.ops.add(a, b), True),
        (lambda a, b: a + b, True),
        (lambda a, b: layers.Subtract()([a, b]), False),
        (lambda a, b: layers.Concatenate()([a, b]), False),
        (lambda a, b: a * b, False),
    ],
)
def test_what_adds_is_an_addition(add, expected):
  a = keras.Input((3,))
  model = keras.Model(a, add(a, layers.ReLU()(a)))
  last = reading.read(model).calls[-1]
  assert calls.is_addition(last.operation) == expected
  assert not calls.is_scaled_addition(last.operation)
