"""Multiply-adds of single layers; `model_macs` adds them up.

One multiply-add (MAC) is one multiplication with its addition, so FLOPs are
about twice as many. Convolutions, dense layers and attention count, gates
included; normalisation, activation and pooling do not.
"""

import functools
import math
import re

import keras

from pgates.layers import gates as gates_lib

_layers = keras.layers
_FREE_LAYERS = (
    _layers.Activation,
    _layers.Add,
    _layers.Average,
    _layers.AveragePooling1D,
    _layers.AveragePooling2D,
    _layers.AveragePooling3D,
    _layers.BatchNormalization,
    _layers.Concatenate,
    _layers.Cropping1D,
    _layers.Cropping2D,
    _layers.Cropping3D,
    _layers.Dropout,
    _layers.ELU,
    _layers.Embedding,
    _layers.Flatten,
    _layers.GaussianDropout,
    _layers.GaussianNoise,
    _layers.GlobalAveragePooling1D,
    _layers.GlobalAveragePooling2D,
    _layers.GlobalAveragePooling3D,
    _layers.GlobalMaxPooling1D,
    _layers.GlobalMaxPooling2D,
    _layers.GlobalMaxPooling3D,
    _layers.GroupNormalization,
    _layers.Identity,
    _layers.InputLayer,
    _layers.LayerNormalization,
    _layers.LeakyReLU,
    _layers.Masking,
    _layers.MaxPooling1D,
    _layers.MaxPooling2D,
    _layers.MaxPooling3D,
    _layers.Maximum,
    _layers.Minimum,
    _layers.Multiply,
    _layers.Normalization,
    _layers.PReLU,
    _layers.Permute,
    _layers.ReLU,
    _layers.RepeatVector,
    _layers.Rescaling,
    _layers.Reshape,
    _layers.Softmax,
    _layers.SpatialDropout1D,
    _layers.SpatialDropout2D,
    _layers.SpatialDropout3D,
    _layers.Subtract,
    _layers.UnitNormalization,
    _layers.UpSampling1D,
    _layers.UpSampling2D,
    _layers.UpSampling3D,
    _layers.ZeroPadding1D,
    _layers.ZeroPadding2D,
    _layers.ZeroPadding3D,
)
_CONVOLUTIONS = (_layers.Conv1D, _layers.Conv2D, _layers.Conv3D)
_TRANSPOSED = (
    _layers.Conv1DTranspose,
    _layers.Conv2DTranspose,
    _layers.Conv3DTranspose,
)
_DEPTHWISE = (_layers.DepthwiseConv1D, _layers.DepthwiseConv2D)
_SEPARABLE = (_layers.SeparableConv1D, _layers.SeparableConv2D)
# Each library has a class of its own of these: they scale or drop.
_FREE_NAMES = ("CustomScaleLayer", "DropPath", "LayerScale", "StochasticDepth")


def unknown_layer(layer: keras.layers.Layer) -> str:
  """The message for a layer whose multiply-adds are not known."""
  return (
      f"The multiply-adds of {layer.name} ({type(layer).__name__}) are not "
      "known. In the branch of a GatedResidual, give the block `macs=`; "
      "elsewhere, register a function with `pgates.layer_macs.register`."
  )


@functools.singledispatch
def layer_macs(
    layer: keras.layers.Layer, input_shape: tuple[int | None, ...]
) -> int:
  """Multiply-adds of one call of a layer, for one example.

  Known are Keras's convolutions, dense and einsum layers, attention, embedding,
  normalisation, pooling and shaping layers, layers that scale or drop, the
  gates of this package, and Sequential and functional models of them. For a
  layer of one's own, register a function of the same arguments:
  `@pgates.layer_macs.register(MyLayer)`.

  Args:
    layer: a Keras layer.
    input_shape: [batch, ...]; the batch size is ignored.

  Returns:
    An integer.

  Raises:
    ValueError: if the layer is not known, or a size not fixed.
  """
  if isinstance(layer, _FREE_LAYERS) or type(layer).__name__ in _FREE_NAMES:
    return 0
  if type(layer).__name__ == "ViTPatchingAndEmbedding":  # Of KerasHub.
    return layer_macs(layer.patch_embedding, input_shape)
  raise ValueError(unknown_layer(layer))


def _size(shape, layer):
  if any(dimension is None for dimension in shape):
    raise ValueError(
        f"The multiply-adds of {layer.name} depend on a size that is not "
        f"fixed. Received: shape={tuple(shape)}. Build the model with a full "
        "`input_shape`."
    )
  return math.prod(shape)


def _spatial(shape, layer):
  first_last = layer.data_format == "channels_last"
  return _size(shape[1:-1] if first_last else shape[2:], layer)


def _channels(shape, layer):
  return shape[-1 if layer.data_format == "channels_last" else 1]


def _convolution(layer, input_shape):
  outputs = _spatial(layer.compute_output_shape(input_shape), layer)
  inputs = _channels(input_shape, layer) // layer.groups
  return outputs * math.prod(layer.kernel_size) * inputs * layer.filters


def _transposed(layer, input_shape):
  inputs = _size(input_shape[1:], layer)
  return inputs * math.prod(layer.kernel_size) * layer.filters


def _depthwise(layer, input_shape):
  outputs = _spatial(layer.compute_output_shape(input_shape), layer)
  channels = _channels(input_shape, layer) * layer.depth_multiplier
  return outputs * math.prod(layer.kernel_size) * channels


def _separable(layer, input_shape):
  outputs = _spatial(layer.compute_output_shape(input_shape), layer)
  channels = _channels(input_shape, layer) * layer.depth_multiplier
  return outputs * channels * (math.prod(layer.kernel_size) + layer.filters)


for _types, _count in (
    (_CONVOLUTIONS, _convolution),
    (_TRANSPOSED, _transposed),
    (_DEPTHWISE, _depthwise),
    (_SEPARABLE, _separable),
):
  for _type in _types:
    layer_macs.register(_type, _count)


@layer_macs.register(keras.layers.Dense)
def _dense(layer, input_shape):
  return _size(input_shape[1:], layer) * layer.units


@layer_macs.register(keras.layers.EinsumDense)
def _einsum(layer, input_shape):
  """One for each combination of the indices of the inputs and the kernel."""
  inputs, kernel, _ = re.split(",|->", layer.equation.replace(" ", ""))
  if not layer.built:
    layer.build(input_shape)
  sizes = dict(zip(kernel, layer.kernel.shape, strict=True))
  before, _, after = inputs.partition("...")
  shape = list(input_shape)
  inner = shape[len(before) : len(shape) - len(after)]
  sizes |= dict(zip(before, shape, strict=False))
  sizes |= dict(zip(after, shape[len(shape) - len(after) :], strict=True))
  # The first index is the batch, unless the equation leaves it to the dots.
  batch = inputs[0]
  if batch == ".":
    inner = inner[1:]
  else:
    del sizes[batch]
  return _size([*sizes.values(), *inner], layer)


def attention_macs(
    layer: keras.layers.MultiHeadAttention,
    query_shape: tuple[int | None, ...],
    value_shape: tuple[int | None, ...],
    key_shape: tuple[int | None, ...],
) -> int:
  """Multiply-adds of one call of an attention layer, for one example.

  Args:
    layer: to be called.
    query_shape: [batch, ..., channels].
    value_shape: [batch, ..., channels].
    key_shape: [batch, ..., channels].

  Raises:
    ValueError: if a size is not fixed.
  """
  config = layer.get_config()
  heads, key_dim = config["num_heads"], config["key_dim"]
  value_dim = config["value_dim"] or key_dim
  axes = config["attention_axes"] or range(1, len(query_shape) - 1)
  axes = [axes] if isinstance(axes, int) else axes
  attended = _size([value_shape[axis] for axis in axes], layer)
  queries = _size(query_shape[1:-1], layer)
  values = _size(value_shape[1:-1], layer)
  outputs = config["output_shape"] or query_shape[-1:]
  outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
  projections = (
      queries * query_shape[-1] * key_dim
      + values * key_shape[-1] * key_dim
      + values * value_shape[-1] * value_dim
      + queries * value_dim * math.prod(outputs)
  )
  return heads * (projections + queries * attended * (key_dim + value_dim))


@layer_macs.register(keras.layers.MultiHeadAttention)
def _self_attention(layer, input_shape):
  return attention_macs(layer, input_shape, input_shape, input_shape)


@layer_macs.register(keras.Sequential)
def _sequential(layer, input_shape):
  total = 0
  for inner in layer.layers:
    total += layer_macs(inner, input_shape)
    input_shape = inner.compute_output_shape(input_shape)
  return total


@layer_macs.register(gates_lib.Gate)
def _gate(layer, input_shape):
  macs = layer.macs(input_shape)
  if macs is None:
    raise ValueError(unknown_layer(layer))
  return macs
