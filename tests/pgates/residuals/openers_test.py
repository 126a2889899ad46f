"""Tests of pgates/residuals/openers.py.

The oracle is the network itself, whose encoder calls its layers in Python.
"""

import keras
import numpy as np
import pytest

import pgates
from pgates.residuals import openers
from pgates.residuals import reading

layers = keras.layers


class Block(layers.Layer):
  """Attention and a hidden layer, each with its shortcut."""

  def build(self, shape):
    policy = {"dtype": self.dtype_policy}
    self.norm = layers.LayerNormalization(name="norm", **policy)
    self.attention = layers.MultiHeadAttention(2, 2, name="attention", **policy)
    self.hidden = layers.Dense(8, "gelu", name="hidden", **policy)
    self.drop = layers.Dropout(0.5, name="drop", **policy)
    self.out = layers.Dense(shape[-1], name="out", **policy)
    self.norm.build(shape)
    self.attention.build(shape, shape)
    self.hidden.build(shape)
    self.out.build((*shape[:-1], 8))

  def call(self, inputs):
    x = self.norm(inputs)
    x = self.attention(x, x) + inputs
    return x + self.out(self.drop(self.hidden(x)))

  def compute_output_shape(self, shape):
    return shape


class Encoder(layers.Layer):
  """Blocks whose layers have the same names in each."""

  def __init__(self, count, **kwargs):
    super().__init__(**kwargs)
    self.count = count

  def build(self, shape):
    self.blocks = [
        Block(name=f"block{i}", dtype=self.dtype_policy)
        for i in range(self.count)
    ]
    for block in self.blocks:
      block.build(shape)
    self.drop = layers.Dropout(0.5, name="drop", dtype=self.dtype_policy)

  def call(self, inputs):
    x = self.drop(inputs)
    for block in self.blocks:
      x = block(x)
    return x

  def compute_output_shape(self, shape):
    return shape

  def get_config(self):
    return {**super().get_config(), "count": self.count}


def open_block(block, inputs):
  x = block.norm(inputs)
  x = block.attention(x, x) + inputs
  return x + block.out(block.drop(block.hidden(x)))


def open_encoder(encoder, inputs):
  x = encoder.drop(inputs)
  for block in encoder.blocks:
    x = block(x)
  return x


OPENERS = {Encoder: open_encoder, Block: open_block}
NAMES = [
    *("encoder_block0_add", "encoder_block0_add_1"),
    *("encoder_block1_add", "encoder_block1_add_1"),
]


def _model():
  keras.utils.set_random_seed(0)
  x = keras.Input((4, 6), name="tokens")
  y = Encoder(2, name="encoder")(layers.Dense(6, name="norm")(x))
  y = layers.GlobalAveragePooling1D(name="mean")(y)
  return keras.Model(x, layers.Dense(3, name="head")(y))


def _tokens(count=6):
  generator = np.random.default_rng(0)
  return generator.normal(size=(count, 4, 6)).astype("float32")


def test_layer_that_has_no_opener_is_listed_with_the_way_out():
  (row,) = pgates.find_residuals(_model())
  assert (row.name, row.kind, row.gateable) == ("encoder", "hidden", False)
  assert "holds 3 layers or more" in row.reason
  assert "`openers=`" in row.reason
  # An opener of the outer layer alone shows the inner ones.
  rows = pgates.find_residuals(_model(), openers={Encoder: open_encoder})
  assert [row.name for row in rows] == ["encoder_block0", "encoder_block1"]
  with pytest.raises(ValueError, match="no residual block(.|\n)*`openers=`"):
    pgates.gate_residuals(_model())


def test_blocks_of_an_opened_layer_have_names_that_stay():
  model = _model()
  for _ in range(2):
    found = pgates.find_residuals(model, openers=OPENERS)
    assert [row.name for row in found] == NAMES
    assert all(row.gateable and row.kind == "identity" for row in found)
  assert found[2].layers == ("encoder_block1_norm", "encoder_block1_attention")
  projections, products = 4 * 4 * 6 * 4, 2 * 4 * 4 * 4
  assert found[2].macs == projections + products
  assert found[3].macs == 4 * (6 * 8 + 8 * 6)


@pytest.mark.parametrize(
    "skip",
    [
        NAMES[:1] + NAMES[2:3],
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(NAMES[1:], marks=pytest.mark.slow),
    ],
)
def test_all_open_is_the_given_network_bit_for_bit(skip, tmp_path):
  model = _model()
  gated = pgates.gate_residuals(model, openers=OPENERS, skip=skip, min_share=0)
  names = [block.name for block in pgates.gated_blocks(gated)]
  assert names == [name for name in NAMES if name not in skip]
  opened = pgates.with_strategy(gated, "always_open")
  expected = model(_tokens())
  np.testing.assert_array_equal(opened(_tokens())["logits"], expected)
  gated.compile("sgd", run_eagerly=True)
  gated.fit(_tokens(), np.arange(6) % 3, verbose=0)
  # The weights are those of the network.
  assert {id(v) for v in model.weights} <= {id(v) for v in gated.weights}
  learned = model(_tokens())
  assert np.any(np.asarray(learned) != np.asarray(expected))
  np.testing.assert_array_equal(opened(_tokens())["logits"], learned)
  # Nor is the encoder's class needed any more.
  gated.save(tmp_path / "gated.keras")
  again = pgates.load_model(tmp_path / "gated.keras")
  for name, value in gated(_tokens(), training=False).items():
    np.testing.assert_array_equal(again(_tokens(), training=False)[name], value)


def test_closed_gate_is_the_layer_without_that_branch():
  model = _model()
  gated = pgates.gate_residuals(model, openers=OPENERS, min_share=0)
  pruned = pgates.prune(gated, [2], always_open={0, 1, 3})
  x = model.get_layer("norm")(_tokens())
  first, second = model.get_layer("encoder").blocks
  x = first(x)
  x = x + second.out(second.hidden(x))
  expected = model.get_layer("head")(keras.ops.mean(x, axis=1))
  received = pruned(_tokens())["logits"]
  np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
  whole = np.asarray(model(_tokens()))
  assert np.max(np.abs(whole - np.asarray(expected))) > 1e-3


def test_layer_that_is_called_twice_has_no_block():
  encoder = Encoder(1, name="encoder")
  x = keras.Input((4, 6))
  model = keras.Model(x, encoder(encoder(x)))
  found = pgates.find_residuals(model, openers=OPENERS)
  assert len(found) == 4
  assert all("is called elsewhere too" in row.reason for row in found)
  assert len({row.name for row in found}) == 4


def test_training_reaches_layers_that_are_opened():
  inner = keras.Input((4, 6))
  y = Encoder(1, name="encoder")(inner)
  backbone = keras.Model(inner, layers.Add(name="add")([y, inner]))
  x = keras.Input((4, 6))
  model = keras.Model(x, backbone(x, training=False))
  calls = {
      call.name: call.kwargs for call in reading.read(model, OPENERS).calls
  }
  assert calls["encoder_block0_drop"] == {"training": False}


def test_layer_of_another_type_casts_its_inputs():
  x = keras.Input((4, 6))
  part = keras.Model(x, Block(dtype="mixed_bfloat16")(x))
  gated = pgates.gate_residuals(part, openers=OPENERS, min_share=0)
  opened = pgates.with_strategy(gated, "always_open")(_tokens())["logits"]
  assert part(_tokens()).dtype == opened.dtype == "bfloat16"
  np.testing.assert_array_equal(np.float32(opened), np.float32(part(_tokens())))


def test_layer_under_a_mask_stays_whole_and_says_so():
  tokens = keras.Input((4,), dtype="int32")
  x = layers.Embedding(9, 6, mask_zero=True)(tokens)
  model = keras.Model(tokens, Encoder(1, name="encoder")(x))
  (row,) = pgates.find_residuals(model, openers=OPENERS)
  assert row.reason == "it is called on tensors that carry a mask"


class Pair(layers.Layer):
  """Two inputs, of which one may be given twice."""

  def build(self, shape):
    self.one, self.two = layers.Dense(6), layers.Dense(6)
    self.one.build(shape)
    self.two.build(shape)

  def call(self, first, second):
    return self.one(first) + self.two(second)


def test_opener_is_given_what_the_layer_is_called_with():
  given = {Pair: lambda pair, a, b: pair.one(a) + pair.two(b)}
  x = keras.Input((6,))
  for second in (x, layers.ReLU(name="relu")(x)):
    pair = Pair(name="pair")
    model = keras.Model(x, pair(x, second))
    one, two, add = reading.read(model, given).calls[-3:]
    assert [one.operation, two.operation] == [pair.one, pair.two]
    assert add.inputs == one.results + two.results
    assert (one.inputs == two.inputs) == (second is x)


@pytest.mark.parametrize(
    "opener, message",
    [
        (
            lambda encoder, x: x[:, :2],
            r"\[None, 2, 6\].*encoder.*\[None, 4, 6\]",
        ),
        (lambda encoder, x: encoder.drop(x), "leaves out weights.*block0/"),
        (
            lambda encoder, x: open_block(
                encoder.blocks[1], open_block(encoder.blocks[0], x)
            ),
            "no graph of encoder.*openers of their classes(.|\n)*norm",
        ),
    ],
)
def test_opener_that_does_something_else_is_refused(opener, message):
  with pytest.raises(ValueError, match=message):
    pgates.find_residuals(_model(), openers={Encoder: opener})


@pytest.mark.parametrize(
    "given", [{"Encoder": open_encoder}, {Encoder: None}, {dict: open_encoder}]
)
def test_what_is_no_opener_is_refused(given):
  with pytest.raises(TypeError, match="classes of layers.*Received"):
    pgates.find_residuals(_model(), openers=given)


def test_call_of_a_layer_is_its_opener_if_it_is_of_layers_alone():
  kinds = [Encoder, Block]
  by_call = pgates.find_residuals(
      _model(), openers={kind: kind.call for kind in kinds}
  )
  assert [*by_call] == [*pgates.find_residuals(_model(), openers=OPENERS)]


def test_known_layers_are_looked_up_by_name():

  class ViTEncoder(Encoder):
    pass

  assert openers.find(ViTEncoder(1), {}) is None
  ViTEncoder.__module__ = "keras_hub.src.models.vit.vit_layers"
  ViTEncoder.__qualname__ = "ViTEncoder"
  assert openers.find(ViTEncoder(1), {}) is ViTEncoder.call
  assert openers.find(ViTEncoder(1), {ViTEncoder: len}) is len


def test_opener_is_of_the_very_class():

  class Other(Encoder):

    def call(self, inputs):
      return 2 * super().call(inputs)

  assert openers.find(Encoder(1), OPENERS) is open_encoder
  assert openers.find(Other(1), OPENERS) is None
