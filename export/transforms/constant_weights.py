"""Layers whose weights are constants of the graph that calls them.

A weight read inside of a branch of `tf.cond` but made outside becomes an input
of the `If`; XNNPACK then leaves the branch to slow kernels, and TensorFlow
does not know that the filter of a convolution is constant. Here each call
makes its constants where it stands, inside of the branch.
"""

import inspect

import keras
import numpy as np
import tensorflow as tf

import pgates
from pgates import graphs


def freeze(model, *, average_pool=False):
  """A copy of a functional model whose layers are frozen.

  Args:
    model: a functional Keras model, maybe of `GatedResidual` blocks.
    average_pool: whether data-dependent gates pool by `tf.nn.avg_pool`, which
      on CPUs takes half the time of a mean, but coarsens in 8 bits.

  Returns:
    A `keras.Model` for tracing at inference.
  """
  frozen = {}

  def replace(layer):
    if id(layer) not in frozen:
      frozen[id(layer)] = _freeze_layer(layer, average_pool)
    return frozen[id(layer)]

  rebuilt = graphs.rebuild(model, replace=replace)
  # The name of a model is part of that of each of its operations.
  return keras.Model(rebuilt.input, rebuilt.output, name="net")


def _freeze_layer(layer, average_pool):
  if isinstance(layer, pgates.GatedResidual):
    return layer.with_layers(
        None if layer.branch is None else Frozen(layer.branch),
        gate=None
        if layer.gate is None
        else FrozenGate(layer.gate, average_pool),
        shortcut=None if layer.shortcut is None else Frozen(layer.shortcut),
    )
  if isinstance(layer, keras.layers.Layer) and layer.weights:
    return Frozen(layer)
  return layer


class _Constants:
  """The values of a layer's weights, and the call of the layer with them."""

  def __init__(self, layer):
    self._layer = layer
    self._trainable = _values(layer.trainable_variables)
    self._others = _values(layer.non_trainable_variables)
    parameters = inspect.signature(layer.call).parameters
    inference = {"training": False} if "training" in parameters else {}
    self._arguments = inference

  def call(self, *inputs):
    outputs, _ = self._layer.stateless_call(
        [tf.constant(value) for value in self._trainable],
        [tf.constant(value) for value in self._others],
        *inputs,
        **self._arguments,
    )
    return outputs

  def scope(self, seed_state):
    """In it, the layer's weights are constants.

    Args:
      seed_state: the variable of a seed. Each run of the graph draws it anew:
        a server has no variable to keep it in.

    Returns:
      A context manager.
    """
    variables = (
        *self._layer.trainable_variables,
        *self._layer.non_trainable_variables,
    )
    values = [*self._trainable, *self._others]
    pairs = zip(variables, values, strict=True)
    return _ConstantScope(
        {id(variable): value for variable, value in pairs}, id(seed_state)
    )


class _ConstantScope(keras.StatelessScope):
  """Makes a constant where a variable is read, and none where it is not."""

  def __init__(self, values, seed_state):
    super().__init__()
    self._constants = values
    self._seed_state = seed_state

  def get_current_value(self, variable):
    if id(variable) == self._seed_state:
      drawn = tf.random.uniform(
          variable.shape, maxval=tf.int32.max, dtype=tf.int32
      )
      return tf.cast(drawn, variable.dtype)
    if id(variable) in self._constants:
      return tf.constant(self._constants[id(variable)])
    return super().get_current_value(variable)


def _policy(layer):
  """The type policy of a layer, but for its quantization, which is its own."""
  policy = layer.dtype_policy
  return policy.name.split("_from_")[-1] if layer.quantization_mode else policy


def _values(variables):
  return [np.asarray(variable) for variable in variables]


class Frozen(keras.layers.Layer):
  """A layer of constants.

  Args:
    inner: a built Keras layer.
  """

  def __init__(self, inner):
    super().__init__(name=inner.name, dtype=_policy(inner))
    self.inner = inner
    self.constants = _Constants(inner)

  def build(self, *_):
    pass

  # Keras repeats masks of the old call.
  def call(self, inputs, *more, **unused):
    return self.constants.call(inputs, *more)

  def compute_output_spec(self, inputs, *more, **unused):
    return self.inner.compute_output_spec(inputs, *more)

  def compute_output_shape(self, input_shape):
    return self.inner.compute_output_shape(input_shape)


class FrozenGate(pgates.Gate):
  """A gate of constants.

  Args:
    inner: a built gate.
    average_pool: as in `freeze`.
  """

  def __init__(self, inner, average_pool):
    super().__init__(name=inner.name, temperature=inner.temperature)
    self.inner = inner
    self.default_rule = inner.default_rule
    self.reads_shortcut = inner.reads_shortcut
    self.pools = average_pool and inner.reads_mean
    self.constants = _Constants(inner)

  def build(self, *_):
    pass

  def call(self, inputs):
    window = inputs.shape[1:-1]
    if self.pools and window.rank == 2 and window.is_fully_defined():
      # The gate takes pooled inputs as they are.
      inputs = tf.nn.avg_pool2d(inputs, window, strides=1, padding="VALID")
      inputs = tf.squeeze(inputs, [1, 2])
    return self.constants.call(inputs)

  def decide(self, logits, *, rule, threshold=None):
    # The gate's own, which a subclass may have overridden.
    with self.constants.scope(self.inner.seed_generator.state):
      return self.inner.decide(logits, rule=rule, threshold=threshold)
