"""Tests of pgates/residuals/heads.py."""

import keras
import numpy as np
import pytest

import pgates
from pgates.residuals import calls
from pgates.residuals import heads
from pgates.residuals import reading

layers = keras.layers
INPUTS = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


def _dense(activation, **kwargs):
  return layers.Dense(3, activation=activation, name="classes", **kwargs)


def _by_op(x, operation):
  return getattr(keras.ops, operation)(layers.Dense(3)(x))


HEADS = {
    "dense softmax": (lambda x: _dense("softmax")(x), "softmax"),
    "dense sigmoid": (lambda x: _dense("sigmoid")(x), "sigmoid"),
    "activation": (
        lambda x: layers.Activation("softmax")(layers.Dense(3)(x)),
        "softmax",
    ),
    "softmax layer": (lambda x: layers.Softmax()(_dense(None)(x)), "softmax"),
    "ops.softmax": (lambda x: _by_op(x, "softmax"), "softmax"),
    "ops.sigmoid": (lambda x: _by_op(x, "sigmoid"), "sigmoid"),
}


def _applied(model):
  graph = reading.read(model)
  last = heads.last_call(graph)
  tensors = {}
  calls.replay(graph.calls[:-1], tensors)
  logits = heads.apply_last(last, tensors)
  outputs = calls.substitute(graph.outputs, tensors)
  return keras.Model(graph.inputs, [logits, outputs])


@pytest.mark.parametrize("name", HEADS)
def test_probabilities_are_made_of_logits(name):
  build, activation = HEADS[name]
  x = keras.Input((6,))
  model = keras.Model(x, build(x))
  split = _applied(model)
  logits, probabilities = split(INPUTS)
  np.testing.assert_array_equal(probabilities, model(INPUTS))
  np.testing.assert_array_equal(
      getattr(keras.ops, activation)(logits), model(INPUTS)
  )
  assert [id(v) for v in split.variables] == [id(v) for v in model.variables]


@pytest.mark.parametrize(
    "build",
    [
        lambda x: _dense(None)(x),
        lambda x: _dense("relu")(x),
        lambda x: [_dense("softmax")(x), layers.Dense(2)(x)],
        lambda x: (lambda d: d(layers.Dense(6)(d(x))))(
            layers.Dense(6, activation="softmax")
        ),
    ],
)
def test_other_outputs_stay_as_they_are(build):
  x = keras.Input((6,))
  assert heads.last_call(reading.read(keras.Model(x, build(x)))) is None


def test_layer_without_its_activation_survives_a_file(tmp_path):
  x = keras.Input((6,))
  split = _applied(keras.Model(x, _dense("softmax")(x)))
  split.save(tmp_path / "split.keras")
  again = keras.models.load_model(tmp_path / "split.keras")
  for received, expected in zip(again(INPUTS), split(INPUTS), strict=True):
    np.testing.assert_array_equal(received, expected)


def test_layer_without_its_activation_keeps_it():
  dense = _dense("softmax")
  before = heads.BeforeActivation(dense)
  logits = before(INPUTS)
  assert dense.activation is keras.activations.softmax
  np.testing.assert_allclose(
      logits, INPUTS @ np.asarray(dense.kernel), rtol=1e-5
  )
  assert pgates.layer_macs(before, (None, 6)) == 18
  assert before.compute_output_shape((None, 6)) == (None, 3)


def test_outputs_are_named():
  x = keras.Input((6,))
  a = layers.Dense(2, name="a")(x)
  b, c = keras.ops.split(layers.Dense(4, name="b")(x), 2, axis=-1)

  def names(outputs):
    model = keras.Model(x, outputs)
    return list(heads.named(model, model.output))

  assert names(a) == names([a]) == names({"only": a}) == ["logits"]
  assert names({"one": a, "two": b}) == ["one", "two"]
  assert names([a, layers.Dense(1, name="d")(x)]) == ["a", "d"]
  first, second = names([b, c])
  assert second == f"{first}.1"
