"""Tests of pgates/costs/layer_costs.py.

The oracle runs each layer: where input and weights are ones, an output is the
number of multiply-adds that made it, except next to the border, where padding
hides some. So the largest output times the number of outputs is the count.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

layers = keras.layers


def ones_output(layer, shape):
  """Output [1, ...] of a layer whose input, weights are ones, biases zeros."""
  layer.build(shape)
  layer.set_weights(
      [
          np.zeros_like(w) if v.name == "bias" else np.ones_like(w)
          for v, w in zip(layer.weights, layer.get_weights(), strict=True)
      ]
  )
  return layer(tf.ones((1, *shape[1:]))).numpy()


CONVOLUTIONS = {
    "1d": (layers.Conv1D(4, 3), (None, 11, 2)),
    "1d causal": (layers.Conv1D(4, 3, padding="causal"), (None, 11, 2)),
    "1d same": (layers.Conv1D(4, 4, padding="same", strides=3), (None, 11, 2)),
    "1d dilated": (layers.Conv1D(4, 3, dilation_rate=3), (None, 11, 2)),
    "1d groups": (layers.Conv1D(6, 3, groups=2), (None, 11, 4)),
    "2d": (layers.Conv2D(5, (3, 2)), (None, 9, 8, 3)),
    "2d no bias": (layers.Conv2D(5, 3, use_bias=False), (None, 9, 8, 3)),
    "2d same": (layers.Conv2D(5, 3, padding="same"), (None, 9, 8, 3)),
    "2d strides": (layers.Conv2D(5, 3, strides=2), (None, 9, 8, 3)),
    "2d uneven": (layers.Conv2D(5, (3, 1), strides=(1, 2)), (None, 9, 8, 3)),
    "2d same strides": (
        layers.Conv2D(5, 3, strides=2, padding="same"),
        (None, 9, 8, 3),
    ),
    "2d dilated": (layers.Conv2D(5, 3, dilation_rate=2), (None, 9, 8, 3)),
    "2d same dilated": (
        layers.Conv2D(5, 3, dilation_rate=(1, 2), padding="same"),
        (None, 9, 8, 3),
    ),
    "2d groups": (layers.Conv2D(9, 3, groups=3), (None, 9, 8, 6)),
    "3d": (layers.Conv3D(4, (2, 3, 1)), (None, 5, 6, 4, 2)),
    "3d strides": (layers.Conv3D(4, 2, strides=2), (None, 5, 6, 4, 2)),
    "depthwise 1d": (
        layers.DepthwiseConv1D(3, depth_multiplier=2),
        (None, 11, 4),
    ),
    "depthwise 2d": (
        layers.DepthwiseConv2D((3, 2), depth_multiplier=3),
        (None, 9, 8, 4),
    ),
    "depthwise 2d same": (
        layers.DepthwiseConv2D(3, strides=2, padding="same"),
        (None, 9, 8, 4),
    ),
    "depthwise 2d dilated": (
        layers.DepthwiseConv2D(3, dilation_rate=2),
        (None, 9, 8, 4),
    ),
    "dense": (layers.Dense(7), (None, 5)),
    "dense of rank 3": (layers.Dense(7), (None, 6, 5)),
    "dense of rank 4": (layers.Dense(7), (None, 3, 2, 5)),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_count_is_the_number_of_multiply_adds(name):
  layer, shape = CONVOLUTIONS[name]
  outputs = ones_output(layer, shape)
  macs = pgates.layer_macs(layer, shape)
  assert macs == outputs.max() * outputs.size
  assert isinstance(macs, int)


TRANSPOSED = {
    "1d": (layers.Conv1DTranspose, {"kernel_size": 3}, (None, 7, 2)),
    "1d strides": (
        layers.Conv1DTranspose,
        {"kernel_size": 4, "strides": 3},
        (None, 7, 2),
    ),
    "2d": (layers.Conv2DTranspose, {"kernel_size": (3, 2)}, (None, 5, 4, 3)),
    "2d strides": (
        layers.Conv2DTranspose,
        {"kernel_size": 3, "strides": 2},
        (None, 5, 4, 3),
    ),
    "3d": (layers.Conv3DTranspose, {"kernel_size": 2}, (None, 4, 3, 5, 2)),
}


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposed_convolution_multiplies_each_input_by_the_kernel(name):
  make, options, shape = TRANSPOSED[name]
  # Unpadded, each multiply-add adds its 1 to some output.
  macs = ones_output(make(6, **options), shape).sum()
  for padding in ("valid", "same"):
    layer = make(6, padding=padding, **options)
    assert pgates.layer_macs(layer, shape) == macs


@pytest.mark.parametrize(
    "layer, depthwise, shape",
    [
        (
            layers.SeparableConv1D(6, 3, depth_multiplier=2, strides=2),
            layers.DepthwiseConv1D(3, depth_multiplier=2, strides=2),
            (None, 11, 4),
        ),
        (
            layers.SeparableConv2D(6, (3, 2), depth_multiplier=3),
            layers.DepthwiseConv2D((3, 2), depth_multiplier=3),
            (None, 9, 8, 4),
        ),
        (
            layers.SeparableConv2D(6, 3, padding="same", strides=2),
            layers.DepthwiseConv2D(3, padding="same", strides=2),
            (None, 9, 8, 4),
        ),
    ],
)
def test_separable_convolution_is_depthwise_then_pointwise(
    layer, depthwise, shape
):
  first = ones_output(depthwise, shape)
  pointwise = layers.Dense(6)
  second = ones_output(pointwise, first.shape)
  assert tuple(second.shape[1:]) == layer.compute_output_shape(shape)[1:]
  expected = first.max() * first.size + second.max() * second.size
  assert pgates.layer_macs(layer, shape) == expected


@pytest.mark.parametrize(
    "make, options",
    [
        (layers.Conv2D, {"filters": 6, "groups": 2, "strides": 2}),
        (layers.Conv2D, {"filters": 6, "padding": "same"}),
        (layers.Conv2DTranspose, {"filters": 6, "strides": 2}),
        (layers.DepthwiseConv2D, {"depth_multiplier": 3}),
        (layers.SeparableConv2D, {"filters": 6, "depth_multiplier": 3}),
    ],
)
def test_channels_first_costs_what_channels_last_costs(make, options):
  last = make(kernel_size=3, data_format="channels_last", **options)
  first = make(kernel_size=3, data_format="channels_first", **options)
  macs = pgates.layer_macs(last, (None, 9, 7, 4))
  assert macs > 0
  assert pgates.layer_macs(first, (None, 4, 9, 7)) == macs


@pytest.mark.parametrize(
    "layer",
    [
        layers.BatchNormalization(),
        layers.Embedding(5, 4),
        layers.GroupNormalization(3),
        layers.LayerNormalization(),
        pgates.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.GlobalAveragePooling2D(),
        layers.ZeroPadding2D(1),
        layers.Dropout(0.5),
        layers.Rescaling(2.0),
        layers.Add(),
    ],
)
def test_free_layer_costs_nothing(layer):
  assert pgates.layer_macs(layer, (None, 8, 8, 3)) == 0


class ViTPatchingAndEmbedding(keras.layers.Layer):
  """By the name of KerasHub's: a convolution, and free embeddings."""

  def __init__(self):
    super().__init__()
    self.patch_embedding = keras.layers.Conv2D(5, 4, strides=4)


def test_patches_of_keras_hub_cost_their_convolution():
  layer = ViTPatchingAndEmbedding()
  assert pgates.layer_macs(layer, (None, 8, 12, 3)) == 2 * 3 * 16 * 3 * 5


@pytest.mark.parametrize("name", ["LayerScale", "StochasticDepth", "DropPath"])
def test_layers_that_scale_or_drop_are_known_by_name(name):
  kind = type(name, (layers.Layer,), {})
  assert pgates.layer_macs(kind(), (None, 8, 8, 3)) == 0


@pytest.mark.parametrize(
    "equation, output, shape, expected",
    [
        ("abc,cd->abd", (None, 4), (None, 7, 5), 7 * 5 * 4),
        ("abc,cde->abde", (None, 2, 4), (None, 7, 6), 7 * 6 * 2 * 4),
        ("abcd,cde->abe", (None, 4), (None, 7, 2, 3), 7 * 2 * 3 * 4),
        ("...x,xy->...y", 4, (None, 7, 3, 5), 7 * 3 * 5 * 4),
        ("ab...,bc->ac...", (4, None), (None, 5, 3), 5 * 3 * 4),
    ],
)
def test_einsum_layer_is_one_for_each_combination_of_indices(
    equation, output, shape, expected
):
  layer = layers.EinsumDense(equation, output, name="odd")
  assert pgates.layer_macs(layer, shape) == expected
  ones = ones_output(layers.EinsumDense(equation, output), shape)
  assert ones.max() * ones.size == expected
  with pytest.raises(ValueError, match="odd depend on a size.*not fixed"):
    pgates.layer_macs(layer, (None, None, *shape[2:]))


def test_self_attention_is_four_projections_and_two_products():
  tokens, channels, heads, key, value, out = 5, 6, 2, 3, 4, 7
  layer = layers.MultiHeadAttention(
      heads, key, value_dim=value, output_shape=out
  )
  expected = heads * (
      2 * tokens * channels * key  # Of query and key.
      + tokens * channels * value
      + tokens * tokens * key  # Scores.
      + tokens * tokens * value  # Their sums of values.
      + tokens * value * out
  )
  assert pgates.layer_macs(layer, (None, tokens, channels)) == expected


def test_attention_to_other_tokens_counts_theirs():
  queries, values = keras.Input((5, 6)), keras.Input((9, 8))
  layer = layers.MultiHeadAttention(2, 3)
  model = keras.Model([queries, values], layer(queries, value=values))
  expected = 2 * (
      5 * 6 * 3  # Queries.
      + 2 * 9 * 8 * 3  # Keys and values.
      + 2 * 5 * 9 * 3  # Scores and sums.
      + 5 * 3 * 6  # Back to the channels of the queries.
  )
  assert pgates.count_macs(model).dense == expected


def test_attention_along_one_axis_sees_that_axis():
  layer = layers.MultiHeadAttention(1, 3, attention_axes=2)
  projections = 4 * (4 * 5) * 6 * 3
  scores = 2 * (4 * 5) * 5 * 3
  shape = (None, 4, 5, 6)
  assert pgates.layer_macs(layer, shape) == projections + scores


@pytest.mark.parametrize(
    "layer",
    [
        layers.LSTM(4),
        layers.Lambda(lambda x: x),
        layers.Dot(axes=1),
        layers.TimeDistributed(layers.Dense(4)),
    ],
)
def test_unknown_layer_is_refused_by_name(layer):
  message = rf"{layer.name} \({type(layer).__name__}\) are not known"
  with pytest.raises(ValueError, match=message):
    pgates.layer_macs(layer, (None, 8, 3))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, 3, name="odd"),
        layers.Conv2DTranspose(4, 3, name="odd"),
        layers.DepthwiseConv2D(3, name="odd"),
        layers.SeparableConv2D(4, 3, name="odd"),
        layers.Dense(4, name="odd"),
        layers.MultiHeadAttention(2, 3, attention_axes=(1, 2), name="odd"),
    ],
)
def test_size_that_is_not_fixed_is_refused(layer):
  with pytest.raises(ValueError, match="odd depend on a size.*not fixed"):
    pgates.layer_macs(layer, (None, None, 8, 3))


def test_sequential_follows_the_shapes_between_its_layers():
  branch = keras.Sequential(
      [
          layers.Conv2D(4, 3, strides=2, padding="same"),
          layers.ReLU(),
          keras.Sequential([layers.MaxPooling2D(), layers.Conv2D(5, 1)]),
          layers.Flatten(),
          layers.Dense(7),
      ]
  )
  expected = 4 * 4 * 9 * 3 * 4 + 2 * 2 * 4 * 5 + 2 * 2 * 5 * 7
  assert pgates.layer_macs(branch, (None, 8, 8, 3)) == expected


def test_functional_model_counts_at_the_sizes_it_is_called_at():
  inputs = keras.Input((None, None, 3))
  model = keras.Model(inputs, layers.Conv2D(4, 3, padding="same")(inputs))
  per_pixel = 9 * 3 * 4
  assert pgates.layer_macs(model, (None, 5, 6, 3)) == 30 * per_pixel
  assert pgates.layer_macs(model, (None, 7, 7, 3)) == 49 * per_pixel


def test_registered_layer_is_known():

  class Doubling(layers.Layer):

    def call(self, inputs):
      return 2.0 * inputs

    def compute_output_shape(self, input_shape):
      return input_shape

  with pytest.raises(ValueError, match="Doubling"):
    pgates.layer_macs(Doubling(), (None, 3))
  pgates.layer_macs.register(Doubling, lambda layer, shape: 5 * shape[-1])
  assert pgates.layer_macs(Doubling(), (None, 3)) == 15
  branch = keras.Sequential([layers.Dense(4), Doubling()])
  assert pgates.layer_macs(branch, (None, 3)) == 12 + 20


def test_dependent_gate_costs_its_two_dense_layers():
  gate = pgates.DataDependentGate(hidden_units=5)
  shape = (None, 8, 8, 6)
  gate.build(shape)
  expected = pgates.layer_macs(gate.hidden, (None, 6))
  expected += pgates.layer_macs(gate.logit, (None, 5))
  assert pgates.layer_macs(gate, shape) == expected == 6 * 5 + 5


@pytest.mark.parametrize(
    "gate", [pgates.DataIndependentGate(), pgates.StochasticDepthGate(0.5)]
)
def test_gate_that_reads_nothing_costs_nothing(gate):
  gate.build((None, 8, 8, 6))
  assert pgates.layer_macs(gate, (None, 8, 8, 6)) == 0


def test_own_gate_with_a_kernel_is_refused_until_registered():

  class LinearGate(pgates.Gate):

    def build(self, input_shape):
      super().build(input_shape)
      self.kernel = self.add_weight(shape=(input_shape[-1], 1))

    def call(self, inputs):
      return tf.squeeze(inputs @ self.kernel, axis=-1)

  gate = LinearGate()
  gate.build((None, 6))
  with pytest.raises(ValueError, match="LinearGate.*not known"):
    pgates.layer_macs(gate, (None, 6))
  pgates.layer_macs.register(LinearGate, lambda gate, shape: shape[-1])
  assert pgates.layer_macs(gate, (None, 6)) == 6
