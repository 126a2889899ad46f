"""Tests of pgates/residuals/finding.py, on graphs and on known networks."""

import collections
import time

import keras
import pytest

import pgates
from tests.helpers import residual_networks

layers = keras.layers


def _block(x, name, units=8, kind=layers.Dense):
  y = kind(units, name=f"{name}_one", activation="relu")(x)
  y = layers.Dense(x.shape[-1], name=f"{name}_two")(y)
  return layers.Add(name=name)([x, y])


def _model():
  x = keras.Input((4,), name="x")
  y = _block(_block(x, "a", 8), "b", 16)
  return keras.Model(x, layers.Dense(10, name="head")(y), name="toy")


def test_rows_say_what_a_block_is_and_what_it_costs():
  found = pgates.find_residuals(_model())
  total = 4 * 8 * 2 + 4 * 16 * 2 + 4 * 10
  assert found.macs == total and len(found) == 2
  assert found[0] == pgates.Residual(
      name="a",
      kind="identity",
      layers=("a_one", "a_two"),
      macs=64,
      share=64 / total,
      gateable=True,
      reason="",
  )
  assert [row.macs for row in found] == [64, 128]


def test_table_is_printed():
  x = keras.Input((4,), name="x")
  y = layers.Dense(4, name="stem")(x)
  model = keras.Model(x, [_block(y, "a"), _block(x, "bb"), y + x], name="toy")
  lines = str(pgates.find_residuals(model)).splitlines()
  header, *rows, summary = lines
  assert header.split() == "name kind layers macs share gateable".split()
  by_name = {row.split()[0]: row.split(maxsplit=5) for row in rows}
  assert by_name["bb"] == ["bb", "identity", "2", "64", "44.4%", "yes"]
  assert by_name["a"] == ["a", "identity", "2", "64", "44.4%", "yes"]
  # Columns are aligned.
  assert len({row.index("yes") for row in rows if row.endswith("yes")}) == 1
  (refused,) = (row for row in rows if "no: " in row)
  assert "stem, in its branch, is used elsewhere: by a_one" in refused
  assert summary == "toy: 2 of 3 gateable, 89% of 144 multiply-adds"


def test_unknown_layers_and_sizes_are_said_and_not_guessed():
  x = keras.Input((None, 4))
  found = pgates.find_residuals(keras.Model(x, _block(x, "a")))
  assert found.macs is None and found[0].macs is None and found[0].gateable
  assert "a_one depend on a size that is not fixed" in str(found)
  assert " ?" in str(found).splitlines()[1]


class Odd(layers.Layer):
  """A layer whose multiply-adds are not known."""

  def __init__(self, units, activation=None, **kwargs):
    super().__init__(**kwargs)

  def call(self, inputs):
    return 2.0 * inputs


def test_macs_are_taken_for_branches_of_unknown_layers():
  x = keras.Input((4,))
  y = _block(_block(x, "a", kind=Odd), "b")
  model = keras.Model(x, y)
  found = pgates.find_residuals(model)
  assert found.macs is None
  assert "a_one (Odd) are not known" in found.unknown
  assert "`macs=`" in found.unknown
  assert [row.macs for row in found] == [None, 64]
  found = pgates.find_residuals(model, macs={"a": 36})
  assert [row.macs for row in found] == [36, 64] and found.macs == 100
  with pytest.raises(ValueError, match=r"names no block: \['c'\].*'a', 'b'"):
    pgates.find_residuals(model, macs={"c": 36})


class Hiding(layers.Layer):
  """Two blocks that no graph shows."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.inner = [layers.Dense(4), layers.Dense(4)]

  def call(self, inputs):
    for layer in self.inner:
      inputs = inputs + layer(inputs)
    return inputs


def test_subclassed_model_in_a_graph_is_listed_and_others_are_not():

  class Subclassed(keras.Model):

    def __init__(self, **kwargs):
      super().__init__(**kwargs)
      self.one, self.two = layers.Dense(4), layers.Dense(4)

    def call(self, inputs):
      return inputs + self.two(self.one(inputs))

  x = keras.Input((4,))
  plain = keras.Sequential([layers.Dense(4), layers.ReLU(), layers.Dense(4)])
  model = keras.Model(x, Subclassed(name="inner")(_block(plain(x), "a")))
  a, hidden = pgates.find_residuals(model)
  assert a.gateable and (hidden.name, hidden.kind) == ("inner", "hidden")
  assert "a Subclassed holds 2 layers" in hidden.reason


def test_what_hides_its_layers_is_listed():
  x = keras.Input((4,))
  model = keras.Model(x, Hiding(name="encoder")(_block(x, "a")))
  a, hidden = pgates.find_residuals(model)
  assert a.gateable
  assert (hidden.name, hidden.kind, hidden.gateable) == (
      "encoder",
      "hidden",
      False,
  )
  assert "a Hiding holds 2 layers" in hidden.reason
  # In a branch, it is skipped with it.
  branch = keras.Model(x, layers.Add(name="b")([x, Hiding()(x)]))
  assert [row.name for row in pgates.find_residuals(branch)] == ["b"]


def _application(name, size):
  return lambda: getattr(keras.applications, name)(
      weights=None, classes=10, input_shape=(size, size, 3)
  )


NETWORKS = {
    "small ViT": (lambda: residual_networks.vit(2, 8), {"identity": 4}),
}
SLOW = {
    "MobileNetV2": (_application("MobileNetV2", 32), {"identity": 10}),
    "ViT": (lambda: residual_networks.vit(12, 16), {"identity": 24}),
    "ResNet50": (
        _application("ResNet50", 32),
        {"identity": 12, "projection": 4},
    ),
    "ResNet50V2": (
        _application("ResNet50V2", 32),
        {"identity": 9, "pool": 3, "projection": 4},
    ),
    "EfficientNetB0": (_application("EfficientNetB0", 32), {"identity": 9}),
    "EfficientNetV2B0": (
        _application("EfficientNetV2B0", 32),
        {"identity": 15},
    ),
    "MobileNetV3Small": (
        _application("MobileNetV3Small", 32),
        {"identity": 6},
    ),
    "ConvNeXtTiny": (_application("ConvNeXtTiny", 32), {"identity": 18}),
    "Xception": (
        _application("Xception", 71),
        {"identity": 8, "projection": 4},
    ),
    "InceptionResNetV2": (
        _application("InceptionResNetV2", 75),
        {"identity": 40},
    ),
    "ResNetV2 of KerasCV": (
        lambda: residual_networks.keras_cv_resnet_v2("block"),
        {"identity": 1, "pool": 1, "projection": 2},
    ),
    "basic ResNetV2 of KerasCV": (
        lambda: residual_networks.keras_cv_resnet_v2("basic_block"),
        {"identity": 2, "pool": 1, "projection": 1},
    ),
    "DenseNet121": (_application("DenseNet121", 32), {}),
    "two heads": (
        residual_networks.two_heads,
        {"identity": 11, "projection": 4},
    ),
}


@pytest.mark.parametrize(
    "name",
    [*NETWORKS, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)],
)
def test_known_networks_have_their_blocks(name):
  make, expected = {**NETWORKS, **SLOW}[name]
  model = make()
  start = time.monotonic()
  found = pgates.find_residuals(model)
  assert time.monotonic() - start < 5
  gateable = [row for row in found if row.gateable]
  assert collections.Counter(row.kind for row in gateable) == expected
  refused = [(row.name, row.reason) for row in found if not row.gateable]
  if name == "two heads":
    assert refused == [
        (
            "conv3_block2_add",
            "conv3_block2_1_relu, in its branch, is used elsewhere: by an "
            "output of the model",
        )
    ]
  else:
    assert not refused
