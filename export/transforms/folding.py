"""Batch norms folded into the convolutions and dense layers before them.

At inference `norm(conv(x))` is a convolution with other weights. Frameworks
fold it by themselves only where the weights are constants of the same graph,
which those of a skipped branch are not.
"""

import collections

import keras
import numpy as np

import pgates
from pgates import graphs

# Of these very classes: a subclass may use its weights in another way.
_LINEAR = (keras.layers.Conv2D, keras.layers.Dense)
_NORMS = (keras.layers.BatchNormalization, pgates.BatchNormalization)


def fold_batch_norms(model):
  """A copy of a model without the batch norms that can be folded.

  Args:
    model: a functional Keras model, maybe of `GatedResidual` blocks.

  Returns:
    A `keras.Model` of new layers where something was folded; the others are
    shared. Its outputs are those of `model` but for rounding.
  """
  pairs = _linear_norm_pairs(model)
  replaced = _folded_linears(pairs)
  norms = {id(norm) for _, norm in pairs}

  def call(layer, *args, **kwargs):
    return args[0] if id(layer) in norms else layer(*args, **kwargs)

  def replace(layer):
    if id(layer) not in replaced:
      replaced[id(layer)] = fold_layer(layer)
    return replaced[id(layer)]

  return graphs.rebuild(model, replace=replace, call=call)


def fold_layer(layer):
  """Folds inside of one layer; returns it as it is where there is nothing."""
  if isinstance(layer, pgates.GatedResidual):
    return _fold_block(layer)
  if isinstance(layer, keras.Sequential):
    return _fold_sequential(layer)
  if isinstance(layer, keras.Model):
    return fold_batch_norms(layer)
  return layer


def _fold_block(block):
  return block.with_layers(
      None if block.branch is None else fold_layer(block.branch),
      gate=None if block.gate is None else block.gate.folded(_fold),
      shortcut=None if block.shortcut is None else fold_layer(block.shortcut),
  )


def _fold_sequential(sequential):
  layers = [fold_layer(layer) for layer in sequential.layers]
  pairs = [
      (linear, norm)
      for linear, norm in zip(layers, layers[1:], strict=False)
      if _can_fold(linear, norm)
  ]
  replaced = _folded_linears(pairs)
  norms = {id(norm) for _, norm in pairs}
  kept = [replaced.get(id(n), n) for n in layers if id(n) not in norms]
  folded = keras.Sequential(kept, name=sequential.name)
  folded.build(sequential.input_shape)
  return folded


def _linear_norm_pairs(model):
  """Pairs of layers in the graph of a model that can be folded."""
  producer, uses, calls = {}, collections.Counter(), collections.Counter()
  tensors, norms = [], []  # The tensors are kept so that ids stay unique.

  def call(layer, *args, **kwargs):
    for tensor in keras.tree.flatten((args, kwargs)):
      uses[id(tensor)] += 1
    outputs = layer(*args, **kwargs)
    calls[id(layer)] += 1
    if isinstance(layer, _LINEAR):
      producer[id(outputs)] = layer
    elif isinstance(layer, keras.layers.BatchNormalization):
      norms.append((layer, args[0]))
    tensors.append((args, outputs))
    return outputs

  rebuilt = graphs.rebuild(model, call=call)
  for tensor in keras.tree.flatten(rebuilt.output):
    uses[id(tensor)] += 1
  return [
      (producer[id(tensor)], norm)
      for norm, tensor in norms
      if id(tensor) in producer
      and uses[id(tensor)] == 1
      and calls[id(norm)] == calls[id(producer[id(tensor)])] == 1
      and _can_fold(producer[id(tensor)], norm)
  ]


def _can_fold(linear, norm):
  return (
      type(linear) in _LINEAR
      and linear.quantization_mode is None
      and type(norm) in _NORMS
      and linear.activation is keras.activations.linear
      and norm.axis
      in (-1, linear.kernel.ndim - (len(linear.kernel.shape) == 2))
      and getattr(linear, "data_format", "channels_last") == "channels_last"
  )


def _folded_linears(pairs):
  """id of a convolution or dense layer -> what takes its place."""
  return {id(linear): _fold(linear, norm) for linear, norm in pairs}


def _fold(linear, norm):
  # Weights of LoRA are part of the kernel that is read below.
  config = {**linear.get_config(), "use_bias": True, "lora_rank": None}
  folded = type(linear).from_config(config)
  folded.build((None,) * (linear.kernel.ndim - 1) + _input_channels(linear))
  # In float64, so that folding rounds once.
  values = [norm.moving_mean, norm.moving_variance]
  mean, variance = (np.asarray(value, np.float64) for value in values)
  scale = 1 / np.sqrt(variance + norm.epsilon)
  if norm.scale:
    scale = scale * np.asarray(norm.gamma, np.float64)
  bias = -mean
  if linear.use_bias:
    bias = bias + np.asarray(linear.bias, np.float64)
  bias = bias * scale
  if norm.center:
    bias = bias + np.asarray(norm.beta, np.float64)
  folded.kernel.assign(np.asarray(linear.kernel, np.float64) * scale)
  folded.bias.assign(bias)
  return folded


def _input_channels(linear):
  groups = getattr(linear, "groups", 1)
  return (linear.kernel.shape[-2] * groups,)
