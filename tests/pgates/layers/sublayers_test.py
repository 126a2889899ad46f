"""Tests of pgates/layers/sublayers.py."""

import keras
import pytest

from pgates.layers import sublayers


class _Pair(keras.layers.Layer):
  """Two layers of its own making, the second with two more in it."""

  def __init__(self, **kwargs):
    super().__init__(name="pair", **kwargs)
    self.first = keras.layers.Dense(2, name="dense")
    self.second = keras.Sequential(
        [keras.layers.ReLU(name="relu"), keras.layers.Flatten(name="flat")]
    )
    self.number = 3


def test_named_layers_are_the_attributes_that_are_layers():
  pair = _Pair()
  found = sublayers.named(pair)
  assert found == {"first": pair.first, "second": pair.second}


def test_descendants_are_all_layers_within_each_once():
  pair = _Pair()
  pair.again = pair.first
  found = list(sublayers.descendants(pair))
  assert found[0] is pair
  assert len({id(each) for each in found}) == len(found)
  assert {each.name for each in found} >= {"pair", "dense", "relu", "flat"}


def test_channels_first_are_refused_by_name():
  layers = [
      keras.layers.Conv2D(1, 1, data_format="channels_last"),
      keras.layers.Dense(1),
      keras.layers.Conv2D(1, 1, data_format="channels_first", name="bad"),
  ]
  sublayers.check_channels_last(layers[:2], where="here")
  with pytest.raises(ValueError, match="^bad, in here, has data_format"):
    sublayers.check_channels_last(layers, where="here")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("frozen", [[], ["first"], ["first", "second"]])
def test_frozen_layers_are_frozen_again(whole, frozen):
  pair = _Pair(trainable=whole)
  for name, layer in sublayers.named(pair).items():
    layer.trainable = name not in frozen
  names = sublayers.frozen_names(pair)
  alike = [] if whole else ["first", "second"]
  assert names == (None if frozen == alike else frozen)
  twin = _Pair(trainable=whole)
  sublayers.freeze(twin, names)
  for name, layer in sublayers.named(pair).items():
    assert getattr(twin, name).trainable == layer.trainable, name


def test_layer_that_is_not_there_cannot_be_frozen():
  with pytest.raises(ValueError, match=r"\['first', 'second'\].*\['third'\]"):
    sublayers.freeze(_Pair(), ["first", "third"])


def test_dense_layer_of_full_precision_is_not_quantized():
  layer = sublayers.FullPrecisionDense(1, name="logit")
  layer.build((None, 2))
  with pytest.raises(NotImplementedError, match="logit: gates stay in float32"):
    layer.quantize("int8")
