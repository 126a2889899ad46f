"""Tests of pgates/residuals/blocks.py: graphs whose blocks are known."""

import keras
import numpy as np
import pytest

from pgates.residuals import blocks
from pgates.residuals import reading

layers = keras.layers


def _add(*tensors, name="add"):
  return layers.Add(name=name)(list(tensors))


def _dense(x, name="dense", **kwargs):
  return layers.Dense(x.shape[-1], name=name, **kwargs)(x)


def _conv(x, name, filters=4, kernel=3, strides=1, **kwargs):
  return layers.Conv2D(
      filters, kernel, strides=strides, padding="same", name=name, **kwargs
  )(x)


def _find(inputs, outputs):
  return blocks.find(reading.read(keras.Model(inputs, outputs)))


def _only(build, shape=(4,)):
  x = keras.Input(shape, name="x")
  (found,) = _find(x, build(x))
  return found


def _names(sequence):
  return [call.name for call in sequence]


ADDITIONS = {
    "Add": lambda a, b: _add(a, b),
    "ops.add": lambda a, b: keras.ops.add(a, b),
    "+": lambda a, b: a + b,
}


@pytest.mark.parametrize("branch_first", [False, True])
@pytest.mark.parametrize("add", ADDITIONS)
def test_identity_is_found_at_every_addition_in_either_order(add, branch_first):
  def build(x):
    stem = _dense(x, "stem")
    y = _dense(_dense(stem, "one"), "two")
    sides = (y, stem) if branch_first else (stem, y)
    return layers.ReLU()(ADDITIONS[add](*sides))

  found = _only(build)
  assert (found.kind, found.reason) == ("identity", None)
  assert _names(found.branch) == ["one", "two"]
  assert found.shortcut == ()
  assert found.end is found.origin
  assert [tensor.shape for tensor in found.sides] == [(None, 4)]


@pytest.mark.parametrize(
    "shortcut, kind",
    [
        (lambda x: _conv(x, "c", kernel=1, strides=2), "projection"),
        (
            lambda x: layers.BatchNormalization(name="n")(
                _conv(x, "c", kernel=1, strides=2)
            ),
            "projection",
        ),
        (
            lambda x: _conv(
                layers.AveragePooling2D(2, name="p")(x), "c", kernel=1
            ),
            "projection",
        ),
        (lambda x: layers.MaxPooling2D(1, strides=2, name="p")(x), "pool"),
        (lambda x: layers.AveragePooling2D(2, name="p")(x), "pool"),
        # Not the kind of layers that a shortcut is made of.
        (lambda x: _conv(x, "c", kernel=3, strides=2), None),
        (
            lambda x: _conv(x, "c", kernel=1, strides=2, activation="relu"),
            None,
        ),
        (
            lambda x: _conv(_conv(x, "c", kernel=1), "d", kernel=1, strides=2),
            None,
        ),
    ],
)
def test_kinds_of_shortcuts(shortcut, kind):
  def build(x):
    x = layers.ReLU(name="relu")(x)
    y = _conv(_conv(x, "one", strides=2), "two")
    return _add(shortcut(x), y)

  found = _only(build, (8, 8, 4))
  assert found.kind == kind
  if kind is None:
    assert "no side is a shortcut" in found.reason
  else:
    assert found.reason is None
    assert _names(found.branch) == ["one", "two"]
    assert set(_names(found.shortcut)) <= {"c", "n", "p"}


def test_of_two_sides_that_could_be_shortcuts_the_shorter_is():
  def build(x):
    norm = layers.BatchNormalization(name="norm")
    return _add(norm(_conv(x, "long", kernel=1)), _conv(x, "short", kernel=1))

  found = _only(build, (8, 8, 4))
  assert _names(found.shortcut) == ["short"]
  assert set(_names(found.branch)) == {"long", "norm"}


def test_squeeze_and_excitation_is_part_of_the_branch():
  def build(x):
    y = _conv(x, "conv")
    s = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(y)
    s = _conv(s, "excite", kernel=1, activation="sigmoid")
    return _add(layers.Multiply(name="scale")([y, s]), x)

  found = _only(build, (8, 8, 4))
  assert found.kind == "identity" and found.reason is None
  assert set(_names(found.branch)) == {"conv", "squeeze", "excite", "scale"}


def test_attention_that_is_given_a_tensor_twice_is_a_branch():
  def build(x):
    y = layers.LayerNormalization(name="norm")(x)
    return x + layers.MultiHeadAttention(1, 2, name="attention")(y, y)

  found = _only(build, (5, 4))
  assert found.reason is None
  assert _names(found.branch) == ["norm", "attention"]
  direct = _only(
      lambda x: x + layers.MultiHeadAttention(1, 2, name="attention")(x, x),
      (5, 4),
  )
  assert direct.reason is None


def test_innermost_block_wins_and_the_outer_one_says_so():
  def build(x):
    a = _dense(x, "a")
    b = _add(a, _dense(a, "b"), name="inner")
    return _add(x, _dense(b, "c"), name="outer")

  x = keras.Input((4,))
  inner, outer = _find(x, build(x))
  assert (inner.name, inner.reason) == ("inner", None)
  assert outer.name == "outer"
  assert "holds inner, which is gated in its stead" in outer.reason


def test_outer_block_is_gated_where_the_inner_one_cannot_be():
  x = keras.Input((4,))
  a = _dense(x, "a")
  tapped = _dense(a, "b")
  inner = _add(a, tapped, name="inner")
  outer = _add(x, _dense(inner, "c"), name="outer")
  first, second = _find(x, [outer, tapped])
  assert "b, in its branch, is used elsewhere: by an output" in first.reason
  assert "b, in its branch, is used elsewhere" in second.reason
  shared = layers.Dense(4, name="shared")
  a = shared(x)
  inner = _add(a, shared(a), name="inner")
  outer = _add(x, _dense(inner, "c"), name="outer")
  first, second = _find(x, outer)
  assert "shared is called elsewhere too" in first.reason
  assert second.reason is None


def test_chain_of_blocks_is_found_in_order():
  x = y = keras.Input((4,))
  for i in range(5):
    y = _add(y, _dense(y, f"dense{i}"), name=f"add{i}")
  found = _find(x, y)
  assert [block.name for block in found] == [f"add{i}" for i in range(5)]
  assert all(block.reason is None for block in found)
  assert [_names(block.branch) for block in found] == [
      [f"dense{i}"] for i in range(5)
  ]


def _used_elsewhere(x):
  y = _dense(x, "one")
  return [_add(x, _dense(y, "two")), _dense(y, "three")]


def _is_an_output(x):
  y = _dense(x, "one")
  return [_add(x, _dense(y, "two")), y]


def _shortcut_is_an_output(x):
  shortcut = _conv(x, "c", kernel=1)
  return [_add(shortcut, _conv(_conv(x, "one"), "two")), shortcut]


def _reads_outside(x):
  before = _dense(x, "before")
  y = _dense(before, "stem")
  joined = layers.Concatenate(name="join")([_dense(y, "one"), before])
  return _add(y, layers.Dense(4, name="two")(joined))


def _shared(x):
  shared = layers.Dense(4, name="shared")
  return _add(x, shared(x), name="first") + layers.ReLU()(shared(x))


def _broadcast(x):
  return _add(x, layers.Dense(1, name="one")(x))


def _stateful(x):
  lstm = layers.LSTM(4, return_sequences=True, stateful=True, name="state")
  return _add(x, lstm(x))


def _other_types(x):
  return _add(x, _dense(x, "half", dtype="float16"), name="add")


def _channels_first(x):
  conv = layers.Conv2D(
      8, 1, padding="same", data_format="channels_first", name="first"
  )
  return _add(x, conv(x))


@pytest.mark.parametrize(
    "build, shape, reason",
    [
        (
            _used_elsewhere,
            (4,),
            "one, in its branch, is used elsewhere: by three",
        ),
        (
            _is_an_output,
            (4,),
            "one, in its branch, is used elsewhere: by an output of the model",
        ),
        (
            _shortcut_is_an_output,
            (8, 8, 4),
            "c, in its shortcut, is used elsewhere: by an output of the model",
        ),
        (
            _reads_outside,
            (4,),
            "its branch also reads 'before', from outside of it",
        ),
        (_broadcast, (4,), "changes shapes: (None, 1) to (None, 4)"),
        (_other_types, (4,), "changes types: float16 to float32"),
        (lambda x: _add(x, x), (4,), "no layer in its branch"),
        (_channels_first, (8, 8, 4), "first has its channels first"),
    ],
)
def test_reasons(build, shape, reason):
  found = _only(build, shape)
  assert reason in found.reason


def test_shared_layer_is_a_reason():
  x = keras.Input((4,))
  first, _ = _find(x, _shared(x))
  assert first.reason == "its layer shared is called elsewhere too"


def test_state_from_batch_to_batch_is_a_reason():
  x = keras.Input((3, 4), batch_size=2)
  (found,) = _find(x, _stateful(x))
  assert found.reason == "its layer state keeps a state from batch to batch"


def test_sides_of_different_inputs_have_no_origin():
  a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
  (found,) = _find([a, b], _add(_dense(a, "one"), _dense(b, "two")))
  assert found.reason == "its sides have no common origin"
  (found,) = _find([a, b], _add(a, layers.Dense(4)(layers.Multiply()([a, b]))))
  assert found.reason == "its branch also reads 'b', from outside of it"


def test_constants_are_no_sides():
  x = keras.Input((4,))
  assert _find(x, layers.Dense(4)(x + 1.0)) == []
  table = np.ones(4, "float32")
  assert _find(x, layers.Dense(4)(x + table)) == []


def test_three_tensors_are_two_branches_if_the_shortcut_is_last():
  def last(x):
    return _add(_dense(x, "one"), _dense(x, "two"), x)

  def first(x):
    return _add(x, _dense(x, "one"), _dense(x, "two"))

  found = _only(last)
  assert found.reason is None
  assert set(_names(found.branch)) == {"one", "two"} and len(found.sides) == 2
  assert (
      "adds 3 tensors, and the shortcut is not the last" in _only(first).reason
  )


def test_origin_may_be_an_input_or_one_of_several_results():
  class Halves(layers.Layer):

    def call(self, inputs):
      return inputs[:, :2], inputs[:, 2:]

  def build(x):
    a, b = Halves()(x)
    return layers.Concatenate()([_add(a, _dense(a, "one")), b])

  found = _only(build)
  assert found.reason is None and found.origin.shape == (None, 2)


def test_blocks_of_a_nested_model_are_blocks_of_the_model():
  inner = keras.Input((4,))
  y = _add(inner, _dense(inner, "one"), name="inner_add")
  nested = keras.Model(inner, layers.ReLU(name="relu")(y), name="nested")
  x = keras.Input((4,))
  z = nested(_dense(x, "stem"))
  found = _find(x, _add(z, _dense(z, "two"), name="outer_add"))
  assert [(block.name, block.reason) for block in found] == [
      ("inner_add", None),
      ("outer_add", None),
  ]
