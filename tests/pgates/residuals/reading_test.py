"""Tests of pgates/residuals/reading.py."""

import keras
import pytest

from pgates.residuals import reading

layers = keras.layers


def _inner(name="inner"):
  inputs = keras.Input((None, 4))
  x = layers.Dense(4, name="first")(inputs)
  x = layers.Dropout(0.5, name="drop")(x)
  outputs = layers.Add(name="add")([inputs, x])
  return keras.Model(inputs, outputs, name=name)


def _plain():
  return keras.Sequential([layers.Dense(4), layers.ReLU()], name="plain")


def _model(inner, **kwargs):
  inputs = keras.Input((3, 4), name="tokens")
  x = _plain()(inputs)
  x = inner(x, **kwargs)
  return keras.Model(inputs, {"head": layers.Dense(2, name="head")(x)})


def _names(graph):
  return [call.name for call in graph.calls]


def test_models_with_additions_are_written_out_and_others_kept_whole():
  graph = reading.read(_model(_inner()))
  assert _names(graph) == ["plain", "first", "drop", "add", "head"]
  assert graph.inputs.name == "tokens"
  # The inner model's own size is open, here it is that of its input.
  assert [call.results[0].shape for call in graph.calls] == [
      *[(None, 3, 4)] * 4,
      (None, 3, 2),
  ]
  plain, first, drop, add, head = graph.calls
  assert first.inputs == plain.results == add.inputs[:1]
  assert add.inputs[1:] == drop.results
  assert head.inputs == add.results
  assert [graph.outputs["head"]] == head.results


def test_models_in_models_in_models_and_called_twice_are_written_out():
  core = _inner("core")
  inputs = keras.Input((3, 4))
  middle = keras.Model(inputs, core(inputs), name="middle")
  outer = keras.Input((3, 4))
  graph = reading.read(keras.Model(outer, core(middle(outer))))
  assert _names(graph) == 2 * ["first", "drop", "add"]
  assert graph.calls[3].inputs == graph.calls[2].results
  assert graph.calls[0].operation is graph.calls[3].operation


def test_training_reaches_the_layers_of_a_model_that_is_written_out():
  graph = reading.read(_model(_inner(), training=False))
  by_name = {call.name: call for call in graph.calls}
  assert by_name["drop"].kwargs == {"training": False}
  assert not by_name["add"].kwargs and not by_name["head"].kwargs


def test_model_that_is_given_a_mask_stays_whole_and_says_so():
  mask = keras.Input((3,), dtype="bool")
  inputs = keras.Input((3, 4))
  outputs = _inner()(inputs, mask=mask)
  (call,) = reading.read(keras.Model([inputs, mask], outputs)).calls
  assert call.hidden == "it is called with ['mask']"


def test_model_whose_names_clash_stays_whole_and_says_so():
  inputs = keras.Input((3, 4))
  x = layers.Dense(4, name="first")(inputs)
  graph = reading.read(keras.Model(inputs, _inner()(x)))
  assert _names(graph) == ["first", "inner"]
  assert graph.calls[1].hidden == "names in it are used elsewhere too: first"


def test_model_that_overrides_call_stays_whole_and_says_so():

  class Doubled(keras.Model):

    def call(self, inputs, training=None):
      return 2 * super().call(inputs, training=training)

  inner = _inner()
  graph = reading.read(_model(Doubled(inner.input, inner.output, name="two")))
  assert _names(graph) == ["plain", "two", "head"]
  assert "overrides `call`" in graph.calls[1].hidden
  with pytest.raises(ValueError, match="two.*no graph.*GatedResidual"):
    reading.read(graph.calls[1].operation)


def test_subclassed_model_has_no_graph():

  class Subclassed(keras.Model):

    def call(self, inputs):
      return inputs

  with pytest.raises(ValueError, match="no graph.*`call` of your own"):
    reading.read(Subclassed())


def test_reading_changes_nothing():
  model = _model(_inner())
  model.compile("adam", "mse")
  config, variables = model.get_config(), [*model.variables]
  first = model.get_layer("head").output
  reading.read(model)
  assert model.get_config() == config
  assert model.variables == variables
  assert model.get_layer("head").output is first
