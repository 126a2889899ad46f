"""What every public layer must do: one check per property, one case per layer.

A test file applies them to the layers of its module:

    @pytest.mark.parametrize("check", layer_contract.CHECKS)
    @pytest.mark.parametrize("case", layer_contract.cases_of(gates))
    def test_layer_keeps_the_contract(case, check, tmp_path):
      check(case, tmp_path)
"""

from collections.abc import Callable
import dataclasses
import inspect
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import pgates


@dataclasses.dataclass(frozen=True)
class Case:
  """A layer and a value, other than the default, for each of its arguments.

  Args:
    layer: the class.
    arguments: makes the constructor's arguments anew, by name.
    shape: of the inputs, without the batch.
    float32_outputs: which outputs are float32 under every precision policy.
  """

  layer: type
  arguments: Callable[[], dict[str, Any]]
  shape: tuple[int, ...]
  float32_outputs: tuple[int, ...] = ()

  def __str__(self):
    return self.layer.__name__

  def make(self):
    return self.layer(**self.arguments())

  def inputs(self, batch=5):
    values = np.random.default_rng(0).normal(size=(batch, *self.shape))
    return tf.constant(values, tf.float32)


def _residual_arguments():
  return {
      "branch": keras.Sequential(
          [
              keras.layers.Conv2D(4, 3, padding="same"),
              pgates.BatchNormalization(),
          ]
      ),
      "gate": pgates.DataDependentGate(initial_probability=0.6, seed=3),
      "shortcut": keras.layers.Conv2D(4, 1),
      "activation": "softplus",
      "activated_inputs": True,
      "macs": 123,
  }


CASES = (
    Case(
        pgates.DataDependentGate,
        lambda: {
            "hidden_units": 3,
            "initial_probability": 0.6,
            "synchronized": True,
            "temperature": 0.5,
            "seed": 7,
        },
        shape=(3, 2, 4),
        float32_outputs=(0,),
    ),
    Case(
        pgates.ConfidenceGate,
        lambda: {"temperature": 0.5, "seed": 7},
        shape=(4,),
        float32_outputs=(0,),
    ),
    Case(
        pgates.DataIndependentGate,
        lambda: {"initial_probability": 0.6, "temperature": 0.5, "seed": 7},
        shape=(3, 2, 4),
        float32_outputs=(0,),
    ),
    Case(
        pgates.HardConcreteGate,
        lambda: {"initial_probability": 0.6, "temperature": 0.5, "seed": 7},
        shape=(3, 2, 4),
        float32_outputs=(0,),
    ),
    Case(
        pgates.StochasticDepthGate,
        lambda: {"survival_probability": 0.6, "temperature": 0.5, "seed": 7},
        shape=(3, 2, 4),
        float32_outputs=(0,),
    ),
    Case(
        pgates.GatedResidual,
        _residual_arguments,
        shape=(4, 3, 2),
        float32_outputs=(1, 2),
    ),
    Case(
        pgates.BatchNormalization,
        lambda: {"momentum": 0.7, "epsilon": 1e-2, "synchronized": True},
        shape=(3, 2, 4),
    ),
)


def cases_of(module):
  """The cases of the layers that a module defines, as pytest parameters."""
  return [case for case in CASES if case.layer.__module__ == module.__name__]


def public_layers():
  """Public layers that can be called; models have tests of their own."""
  found = (getattr(pgates, name) for name in pgates.__all__)
  return {
      value
      for value in found
      if inspect.isclass(value)
      and issubclass(value, keras.layers.Layer)
      and not issubclass(value, keras.Model)
      and value.call is not keras.layers.Layer.call
  }


def check_arguments_are_in_the_config(case, tmp_path):
  del tmp_path
  defaults = {}
  for base in case.layer.__mro__:
    if base.__module__.startswith("pgates."):
      for name, parameter in inspect.signature(base).parameters.items():
        if parameter.kind != parameter.VAR_KEYWORD:
          defaults.setdefault(name, parameter.default)
  arguments = case.arguments()
  config = case.layer(**arguments).get_config()
  for name, given in arguments.items():
    assert config[name] == keras.saving.serialize_keras_object(given), name
    assert config[name] != defaults.pop(name, None), name
  assert not defaults, f"The case gives no value for {list(defaults)}."


def check_config_makes_an_equal_layer(case, tmp_path):
  del tmp_path
  config = case.make().get_config()
  again = case.layer.from_config(config)
  assert again.get_config() == config
  serialized = keras.saving.serialize_keras_object(case.make())
  revived = keras.saving.deserialize_keras_object(serialized)
  assert type(revived) is case.layer
  assert revived.get_config()["name"] == serialized["config"]["name"]


def check_declared_shapes_and_types_are_those_of_a_call(case, tmp_path):
  del tmp_path
  for policy in ("float32", "mixed_bfloat16"):
    with _Policy(policy):
      layer = case.make()
      declared = keras.tree.flatten(layer(keras.Input(case.shape)))
      called = keras.tree.flatten(layer(case.inputs(batch=5)))
      shape = layer.compute_output_shape((None, *case.shape))
    shapes = [shape] if len(called) == 1 else shape
    for symbol, value, computed in zip(declared, called, shapes, strict=True):
      assert symbol.shape == computed
      assert (5, *symbol.shape[1:]) == value.shape
      assert symbol.dtype == value.dtype.name


def check_function_equals_eager(case, tmp_path):
  del tmp_path
  original = _with_random_weights(case.make(), case)
  inputs = case.inputs()
  for training in (False, True):
    eager, traced = _copy(original, case), _copy(original, case)
    function = tf.function(traced, autograph=False)
    for _ in range(2):  # Twice, for what a call leaves behind.
      _assert_close(
          eager(inputs, training=training),
          function(inputs, training=training),
      )
    _assert_close(eager.get_weights(), traced.get_weights())


def check_gradients_are_finite(case, tmp_path):
  del tmp_path
  layer = _with_random_weights(case.make(), case)
  with tf.GradientTape() as tape:
    outputs = keras.tree.flatten(layer(case.inputs(), training=True))
    loss = tf.add_n([tf.reduce_sum(output**2) for output in outputs])
  variables = layer.trainable_variables
  gradients = tape.gradient(loss, [v.value for v in variables])
  for variable, gradient in zip(variables, gradients, strict=True):
    assert gradient is not None, variable.path
    assert np.isfinite(gradient).all(), variable.path


def check_keras_file_gives_the_same_outputs(case, tmp_path):
  inputs = keras.Input(case.shape)
  layer = case.make()
  model = keras.Model(inputs, layer(inputs))
  _with_random_weights(layer, case)
  model.save(tmp_path / "layer.keras")
  loaded = keras.models.load_model(tmp_path / "layer.keras")
  _assert_close(model(case.inputs()), loaded(case.inputs()), exact=True)
  _assert_close(model.get_weights(), loaded.get_weights(), exact=True)
  # The noise too, where the case gives its seed.
  _assert_close(
      model(case.inputs(), training=True), loaded(case.inputs(), training=True)
  )


def check_mixed_precision_keeps_variables_float32(case, tmp_path):
  del tmp_path
  with _Policy("mixed_bfloat16"):
    layer = case.make()
    outputs = layer(case.inputs(), training=True)
  assert {variable.dtype for variable in layer.weights} == {"float32"}
  for i, output in enumerate(keras.tree.flatten(outputs)):
    kept = i in case.float32_outputs
    assert output.dtype == (tf.float32 if kept else tf.bfloat16)


CHECKS = tuple(
    value for name, value in list(globals().items()) if name[:6] == "check_"
)


class _Policy:
  """Sets the global precision policy for a while."""

  def __init__(self, name):
    self.name = name

  def __enter__(self):
    self.before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(self.name)

  def __exit__(self, *unused):
    keras.config.set_dtype_policy(self.before)


def _with_random_weights(layer, case):
  layer(case.inputs())
  rng = np.random.default_rng(1)
  # Positive, for variances and temperatures.
  layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
  return layer


def _copy(layer, case):
  copy = case.layer.from_config(layer.get_config())
  copy(case.inputs())
  copy.set_weights(layer.get_weights())
  return copy


def _assert_close(expected, received, *, exact=False):
  pairs = zip(
      keras.tree.flatten(expected), keras.tree.flatten(received), strict=True
  )
  for one, other in pairs:
    tolerance = 0 if exact else 1e-6
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
