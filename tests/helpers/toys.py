"""Small models whose decisions NumPy foretells, for the tests of strategies."""

import keras
import numpy as np
import tensorflow as tf

import pgates

FEATURES = 6

CLASSES = 4

RULES = ("map", "threshold:0.3", "threshold:0.8", "always_open", "expected")


def examples(count=9, seed=0):
  generator = np.random.default_rng(seed)
  return generator.normal(0, 1, (count, FEATURES)).astype(np.float32)


def batches(count=9, batch_size=4, seed=0):
  labels = np.arange(count) % CLASSES
  data = tf.data.Dataset.from_tensor_slices((examples(count, seed), labels))
  return data.batch(batch_size)


def dependent(index, seed=15):
  """A data-dependent gate; of this seed, they tell the examples apart."""
  gate = pgates.DataDependentGate(hidden_units=3, seed=100 + index)
  gate.build((None, FEATURES))
  generator = np.random.default_rng([seed, index])
  for variable in (*gate.hidden.weights, *gate.logit.weights):
    variable.assign(generator.normal(0, 1, variable.shape))
  gate.norm.moving_mean.assign(generator.normal(0, 1, 3))
  gate.norm.moving_variance.assign(generator.uniform(0.5, 2, 3))
  return gate


def independent(logit, seed=None):
  gate = pgates.DataIndependentGate(seed=seed)
  gate.build((None, FEATURES))
  gate.logit.assign(logit)
  return gate


def block(gate, index=0, activation="tanh"):
  branch = keras.layers.Dense(
      FEATURES,
      kernel_initializer=keras.initializers.RandomNormal(seed=index),
      bias_initializer=keras.initializers.RandomNormal(stddev=1.0, seed=index),
  )
  return pgates.GatedResidual(
      branch, gate=gate, activation=activation, macs=10 * 3**index
  )


def make_model(gates, cls=pgates.GatedModel, **compiled):
  """Blocks that claim 10, 30, 90, ... multiply-adds, and a classifier."""
  inputs = x = keras.Input((FEATURES,))
  decisions = []
  for index, gate in enumerate(gates):
    x, *decision = block(gate, index)(x)
    decisions.append(decision)
  logits = keras.layers.Dense(
      CLASSES, kernel_initializer=keras.initializers.RandomNormal(seed=9)
  )(x)
  outputs = pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  model = cls(inputs, outputs)
  if compiled or cls is pgates.GatedModel:
    model.compile(optimizer=keras.optimizers.SGD(0.1), **compiled)
  return model


def mixed_model(**kwargs):
  """Three dependent gates, an independent one and a block without."""
  gates = [dependent(i) for i in range(3)]
  return make_model([*gates, independent(0.4, seed=5), None], **kwargs)


def nested_model(gates):
  """The blocks of `make_model`, all but the first in a model of their own."""
  flat = make_model(gates)
  first, *rest = pgates.gated_blocks(flat)
  inner_inputs = x = keras.Input((FEATURES,))
  decisions = []
  for layer in rest:
    x, *decision = layer(x)
    decisions.append(decision)
  inner = keras.Model(inner_inputs, [x, *zip(*decisions, strict=True)])
  inputs = keras.Input((FEATURES,))
  x, *decision = first(inputs)
  x, inner_gates, inner_logits = inner(x)
  outputs = pgates.gated_outputs(
      classifier_of(flat)(x),
      [decision[0], *inner_gates],
      [decision[1], *inner_logits],
  )
  nested = pgates.GatedModel(inputs, outputs)
  nested.compile()
  return flat, nested


def sigmoid(logit):
  return 1 / (1 + np.exp(-np.asarray(logit, np.float64)))


def gate_logits(gate, x):
  if gate is None:
    return np.full(len(x), 100.0)
  if isinstance(gate, pgates.DataDependentGate):
    hidden = x @ np.asarray(gate.hidden.kernel) + np.asarray(gate.hidden.bias)
    norm = gate.norm
    hidden = (hidden - norm.moving_mean) / np.sqrt(norm.moving_variance + 1e-5)
    hidden = np.maximum(hidden * norm.gamma + norm.beta, 0)
    logits = hidden @ np.asarray(gate.logit.kernel) + np.asarray(
        gate.logit.bias
    )
    return logits[:, 0]
  return np.full(len(x), float(gate.logit))


def decide(rule, logits, always):
  """Returns whether the gate is open and what scales the branch."""
  name, _, number = rule.partition(":")
  ones = np.ones_like(logits)
  if always or name == "always_open":
    return ones, ones
  if name == "expected":
    return ones, sigmoid(logits)
  is_open = sigmoid(logits) > float(number or 0.5)
  return is_open * ones, is_open * ones


def classifier_of(model):
  (layer,) = (v for v in model.layers if isinstance(v, keras.layers.Dense))
  return layer


def oracle(model, x, rule):
  """The outputs of `make_model` under a rule, in NumPy."""
  gates, logits = [], []
  for layer in pgates.gated_blocks(model):
    logit = gate_logits(layer.gate, x)
    is_open, scale = decide(rule, logit, layer.gate is None)
    branch = x @ np.asarray(layer.branch.kernel) + np.asarray(layer.branch.bias)
    x = np.tanh(x + scale[:, None] * branch)
    gates.append(is_open)
    logits.append(logit)
  classifier = classifier_of(model)
  return {
      "logits": x @ np.asarray(classifier.kernel) + np.asarray(classifier.bias),
      "gates": np.stack(gates, axis=1),
      "gate_logits": np.stack(logits, axis=1),
  }


def assert_outputs(received, expected, atol=1e-5):
  np.testing.assert_array_equal(received["gates"], expected["gates"])
  for name in ("logits", "gate_logits"):
    np.testing.assert_allclose(
        received[name], expected[name], atol=atol, err_msg=name
    )


def log_softmax(logits):
  return np.asarray(tf.nn.log_softmax(np.asarray(logits, np.float64)))


def two_replicas():
  return tf.distribute.MirroredStrategy(
      ["CPU:0", "CPU:1"],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )
