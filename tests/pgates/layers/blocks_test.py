"""Tests of `pgates.layers.blocks`."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import pgates
from pgates.layers import blocks
from pgates.layers import branches
from pgates.layers import gate_ops
from pgates.layers import normalization
from tests.helpers import layer_contract
from tests.helpers import parameters
from tests.helpers import toys

PATTERNS = {
    "all": [1, 1, 1, 1, 1],
    "some": [0, 1, 0, 1, 1],
    "none": [0, 0, 0, 0, 0],
    "one_open": [1],
    "one_closed": [0],
}


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize("case", layer_contract.cases_of(blocks), ids=str)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


def test_every_public_layer_has_a_contract():
  covered = {case.layer for case in layer_contract.CASES}
  assert covered == layer_contract.public_layers()
  # The test files of these modules apply it.
  modules = {layer.__module__ for layer in covered}
  assert {module.removeprefix("pgates.layers.") for module in modules} == {
      "blocks",
      "confidence_gate",
      "data_dependent_gate",
      "data_independent_gate",
      "hard_concrete_gate",
      "normalization",
      "stochastic_depth_gate",
  }


@keras.saving.register_keras_serializable(package="pgates_blocks_test")
class _Counting(keras.layers.Layer):
  """Twice the inputs; counts the examples that it computes."""

  def build(self, input_shape):
    self.num_rows = self.add_weight(
        shape=(), dtype="int32", initializer="zeros", trainable=False
    )

  def call(self, inputs):
    self.num_rows.assign_add(tf.shape(inputs)[0])
    return 2 * inputs

  def compute_output_shape(self, input_shape):
    return input_shape


def _dense():
  return keras.layers.Dense(6, activation="tanh"), None, (6,)


def _convolutional():
  branch = keras.Sequential(
      [
          keras.layers.Conv2D(4, 3, padding="same"),
          pgates.BatchNormalization(),
      ]
  )
  return branch, None, (6, 5, 4)


def _custom():
  return _Counting(), None, (3, 2)


def _downsampling():
  return (
      branches.bottleneck_branch(2, strides=2),
      branches.projection_shortcut(8, strides=2),
      (6, 6, 4),
  )


BLOCKS = (_dense, _convolutional, _custom, _downsampling)


def _block(make, **kwargs):
  """A block with a gate of logit 0, and a batch for it."""
  keras.utils.set_random_seed(2)
  branch, shortcut, shape = make()
  gate = pgates.DataIndependentGate(initial_probability=0.5, seed=4)
  block = pgates.GatedResidual(branch, gate=gate, shortcut=shortcut, **kwargs)
  rng = np.random.default_rng(0)
  inputs = tf.constant(rng.normal(size=(5, *shape)), tf.float32)
  block(inputs, training=True)  # Moves the moving statistics.
  return block, inputs


def _call(block, inputs, pattern, **kwargs):
  """Calls with the gates given: P(open) is 1/2, above 0 and not above 1."""
  threshold = 1 - tf.constant(pattern, tf.float32)
  return block(inputs, threshold=threshold, rule="threshold", **kwargs)


def _shortcut(block, inputs):
  return inputs if block.shortcut is None else block.shortcut(inputs)


@pytest.mark.parametrize("make", BLOCKS)
def test_closed_gate_is_the_shortcut_bit_for_bit(make):
  block, inputs = _block(make)
  outputs, gate, _ = _call(block, inputs, [0] * 5)
  np.testing.assert_array_equal(gate, [0] * 5)
  np.testing.assert_array_equal(outputs, tf.nn.relu(_shortcut(block, inputs)))


@pytest.mark.parametrize("make", BLOCKS)
def test_open_gate_is_the_plain_residual_block_bit_for_bit(make):
  block, inputs = _block(make)
  plain = keras.layers.ReLU()(
      keras.layers.Add()([_shortcut(block, inputs), block.branch(inputs)])
  )
  outputs, gate, _ = _call(block, inputs, [1] * 5)
  np.testing.assert_array_equal(gate, [1] * 5)
  np.testing.assert_array_equal(outputs, plain)
  always, gate, _ = block(inputs, rule="always_open")
  np.testing.assert_array_equal(gate, [1] * 5)
  np.testing.assert_array_equal(always, plain)
  assert np.any(plain != tf.nn.relu(_shortcut(block, inputs)))


@pytest.mark.parametrize("execution", ["masked", "routed"])
@pytest.mark.parametrize("make", BLOCKS)
def test_each_example_has_its_own_gate(make, execution):
  block, inputs = _block(make)
  pattern = PATTERNS["some"]
  outputs, gate, _ = _call(block, inputs, pattern, execution=execution)
  np.testing.assert_array_equal(gate, pattern)
  every, _, _ = _call(block, inputs, [1] * 5)
  none, _, _ = _call(block, inputs, [0] * 5)
  for i, is_open in enumerate(pattern):
    expected = every[i] if is_open else none[i]
    np.testing.assert_allclose(outputs[i], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "make, pattern",
    parameters.slow_but(
        [
            *itertools.product(BLOCKS, ["some"]),
            *((_downsampling, "none"), (_convolutional, "one_open")),
        ],
        itertools.product(BLOCKS, PATTERNS),
    ),
)
def test_routed_equals_masked(make, pattern):
  pattern = PATTERNS[pattern]
  block, inputs = _block(make)
  inputs = inputs[: len(pattern)]
  masked = _call(block, inputs, pattern)
  routed = tf.function(
      lambda inputs: _call(block, inputs, pattern, execution="routed"),
      input_signature=[tf.TensorSpec([None, *inputs.shape[1:]])],
  )(inputs)
  for one, other in zip(masked, routed, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_expected_scales_the_branch_in_both_executions(execution):
  block, inputs = _block(_dense)
  block.gate.logit.assign(1.0)
  outputs, gate, _ = block(inputs, rule="expected", execution=execution)
  np.testing.assert_array_equal(gate, [1] * 5)
  expected = tf.nn.relu(inputs + tf.sigmoid(1.0) * block.branch(inputs))
  np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "pattern", parameters.slow_but(["some", "none"], PATTERNS)
)
def test_routed_does_not_run_the_branch_for_closed_examples(pattern):
  pattern = PATTERNS[pattern]
  block, inputs = _block(_custom)
  num_rows = block.branch.num_rows
  for execution, expected in (
      ("masked", len(pattern)),
      ("routed", sum(pattern)),
  ):
    num_rows.assign(0)
    tf.function(
        lambda inputs, execution=execution: _call(
            block, inputs, pattern, execution=execution
        )
    )(inputs[: len(pattern)])
    assert num_rows.numpy() == expected


def test_routed_training_is_an_error():
  block, inputs = _block(_dense)
  with pytest.raises(ValueError, match="execution='routed' is for inference"):
    block(inputs, training=True, execution="routed")


def test_unknown_execution_is_an_error():
  block, inputs = _block(_dense)
  with pytest.raises(ValueError, match="Received: 'fast'"):
    block(inputs, execution="fast")


def test_unknown_rule_is_an_error():
  block, inputs = _block(_dense)
  with pytest.raises(ValueError, match="Received: 'maps'"):
    block(inputs, rule="maps")


@pytest.mark.parametrize("branch", ["x", len, keras.layers.Dense])
def test_branch_that_is_no_layer_is_refused(branch):
  with pytest.raises(
      TypeError, match="`branch` must be a Keras layer.*of type"
  ):
    pgates.GatedResidual(branch)


def test_old_name_of_the_rule_is_refused_with_the_new_one():
  block, inputs = _block(_dense)
  message = "`strategy` is now called `rule`. Received: strategy='map'"
  with pytest.raises(TypeError, match=message):
    block(inputs, strategy="map")


def test_graph_of_an_older_file_may_call_its_blocks_by_the_old_name():
  model = pgates.with_strategy(toys.mixed_model(), "threshold:0.8")
  config = model.to_json()
  assert config.count('"rule": "threshold:0.8"') == 5
  older = config.replace('"rule": ', '"strategy": ')
  loaded = keras.models.model_from_json(older)
  loaded.set_weights(model.get_weights())
  expected = toys.oracle(model, toys.examples(), "threshold:0.8")
  toys.assert_outputs(loaded(toys.examples()), expected)
  # What is made of it has the new name, also where blocks are replaced.
  assert loaded.to_json() == config
  pruned = pgates.prune(loaded, [0])
  outputs = pruned(toys.examples())["gates"]
  np.testing.assert_array_equal(outputs[:, 0], np.zeros(9))


def test_branch_that_changes_the_shape_without_shortcut_is_an_error():
  block = pgates.GatedResidual(
      keras.layers.Conv2D(8, 3, strides=2, padding="same")
  )
  with pytest.raises(ValueError) as error:
    block(tf.zeros([2, 6, 6, 4]))
  assert "(2, 6, 6, 4). Received: (2, 3, 3, 8)" in str(error.value)
  assert "Give a `shortcut`" in str(error.value)


def test_branch_and_shortcut_of_other_shapes_are_an_error():
  block = pgates.GatedResidual(
      keras.layers.Dense(5), shortcut=keras.layers.Dense(1)
  )
  # Their sum would broadcast.
  with pytest.raises(ValueError, match=r"\(None, 1\). Received: \(None, 5\)"):
    block(keras.Input((4,)))


def test_gate_without_a_branch_is_an_error():
  with pytest.raises(ValueError, match="nothing to gate.*Received: gate=<Data"):
    pgates.GatedResidual(None, gate=pgates.DataIndependentGate())


@pytest.mark.parametrize("macs", [-1, float("nan")])
def test_negative_macs_are_an_error(macs):
  with pytest.raises(ValueError, match=f"`macs`.*Received: {macs}"):
    pgates.GatedResidual(keras.layers.Dense(4), macs=macs)


def test_subclass_is_not_taken_for_a_block():
  class Doubled(pgates.GatedResidual):

    def call(self, inputs, **kwargs):
      outputs, gates, logits = super().call(inputs, **kwargs)
      return 2 * outputs, gates, logits

  block = Doubled(keras.layers.Dense(4), gate=pgates.DataIndependentGate())
  with pytest.raises(ValueError, match="is a Doubled, and cannot be pruned"):
    block.with_layers(block.branch, gate=None, shortcut=None)


@pytest.mark.parametrize("training", [False, True])
def test_block_without_a_gate_always_runs(training):
  branch, _, shape = _dense()
  block = pgates.GatedResidual(branch)
  inputs = tf.constant(
      np.random.default_rng(0).normal(size=(5, *shape)), tf.float32
  )
  for rule in (None, "sampled", "map", "threshold:1", "expected"):
    outputs, gate, logit = block(inputs, training=training, rule=rule)
    np.testing.assert_array_equal(outputs, tf.nn.relu(inputs + branch(inputs)))
    np.testing.assert_array_equal(gate, [1] * 5)
    np.testing.assert_array_equal(logit, [100] * 5)


@pytest.mark.parametrize("shortcut", [None, "dense"])
def test_block_without_a_branch_is_its_shortcut(shortcut):
  layer = shortcut and keras.layers.Dense(3)
  block = pgates.GatedResidual(None, shortcut=layer)
  inputs = tf.constant(np.random.default_rng(0).normal(size=(5, 6)), tf.float32)
  for rule in (None, "sampled", "always_open", "expected"):
    outputs, gate, logit = block(inputs, rule=rule)
    expected = inputs if shortcut is None else layer(inputs)
    np.testing.assert_array_equal(outputs, tf.nn.relu(expected))
    np.testing.assert_array_equal(gate, [0] * 5)
    np.testing.assert_array_equal(logit, [-100] * 5)


@pytest.mark.parametrize("has_branch", [False, True])
def test_block_without_parts_survives_its_config(has_branch):
  block = pgates.GatedResidual(keras.layers.Dense(4) if has_branch else None)
  again = pgates.GatedResidual.from_config(block.get_config())
  assert again.gate is None and again.shortcut is None
  assert (again.branch is not None) == has_branch


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_gradient_reaches_the_gate_straight_through(temperature):
  block, inputs = _block(_dense, activation=None)
  gate = block.gate
  gate.logit.assign(0.3)
  gate.current_temperature.assign(temperature)
  gate.seed_generator.state.assign([9, 0])
  with tf.GradientTape() as tape:
    outputs, opened, _ = block(inputs, training=True)
    loss = tf.reduce_sum(outputs)
  gradient = tape.gradient(loss, gate.logit.value)

  soft = tfp.distributions.RelaxedBernoulli(
      temperature, logits=tf.fill([5], 0.3)
  ).sample(seed=(9, 0))
  np.testing.assert_array_equal(opened, soft > 0.5)
  assert 0 < np.sum(opened) < 5
  # Closed examples count too: the masked branch is computed for them.
  slopes = soft * (1 - soft) / temperature
  branch = tf.reduce_sum(block.branch(inputs), axis=1)
  np.testing.assert_allclose(
      gradient, tf.reduce_sum(slopes * branch), rtol=1e-5
  )


def test_closed_examples_give_the_branch_no_gradient():
  block, inputs = _block(_dense)
  for pattern, reaches in (([0] * 5, False), ([0, 0, 1, 0, 0], True)):
    with tf.GradientTape() as tape:
      outputs, _, _ = _call(block, inputs, pattern)
      loss = tf.reduce_sum(outputs)
    gradient = tape.gradient(loss, block.branch.kernel.value)
    assert np.any(gradient != 0) == reaches


def test_training_samples_and_inference_is_map():
  block, inputs = _block(_dense)
  inputs = tf.repeat(inputs, 200, axis=0)
  block.gate.logit.assign(0.2)
  _, sampled, _ = block(inputs, training=True)
  _, at_inference, _ = block(inputs)
  np.testing.assert_array_equal(at_inference, np.ones(1000))
  # P = .55, in 4 standard errors of 1000 draws.
  probability = 1 / (1 + np.exp(-0.2))
  standard_error = np.sqrt(probability * (1 - probability) / 1000)
  assert abs(np.mean(sampled) - probability) < 4 * standard_error


def test_threshold_rule_opens_above_its_number():
  block, inputs = _block(_dense)
  block.gate.logit.assign(gate_ops.threshold_logit(0.4))
  for number, opened in ((0.3, 1), (0.5, 0)):
    _, gate, _ = block(inputs, rule=f"threshold:{number}")
    np.testing.assert_array_equal(gate, [opened] * 5)
    _, gate, _ = block(inputs, rule="threshold", threshold=number)
    np.testing.assert_array_equal(gate, [opened] * 5)


def test_stochastic_depth_drops_while_training_and_scales_at_inference():
  branch = keras.layers.Dense(4)
  block = pgates.GatedResidual(
      branch, gate=pgates.StochasticDepthGate(0.7, seed=1), activation=None
  )
  rng = np.random.default_rng(0)
  inputs = tf.constant(rng.normal(size=(10_000, 4)), tf.float32)
  outputs, gate, _ = block(inputs)
  added = branch(inputs).numpy()
  np.testing.assert_array_equal(gate, np.ones(10_000))
  np.testing.assert_allclose(outputs, inputs + 0.7 * added, atol=1e-5)
  outputs, gate, _ = block(inputs, training=True)
  runs = gate.numpy()[:, None]
  np.testing.assert_allclose(outputs, inputs + runs * added, atol=1e-6)
  standard_error = np.sqrt(0.7 * 0.3 / 10_000)
  assert abs(runs.mean() - 0.7) < 4 * standard_error


def _random_ops(block, inputs, **kwargs):
  function = tf.function(lambda inputs: block(inputs, **kwargs))
  graph = function.get_concrete_function(inputs).graph.as_graph_def()
  nodes = list(graph.node)
  for inner in graph.library.function:
    nodes.extend(inner.node_def)
  return [node.op for node in nodes if "Random" in node.op]


@pytest.mark.parametrize(
    "rule, execution",
    parameters.slow_but(
        [("map", "routed"), ("expected", "masked")],
        itertools.product(
            [None, "map", "threshold:0.3", "always_open", "expected"],
            ["masked", "routed"],
        ),
    ),
)
def test_deterministic_graph_holds_no_random_op(rule, execution):
  block, inputs = _block(_convolutional)
  kwargs = {"rule": rule, "execution": execution}
  assert not _random_ops(block, inputs, **kwargs)
  assert _random_ops(block, inputs, rule="sampled", execution=execution)


@pytest.fixture
def bfloat16():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy("mixed_bfloat16")
  yield
  keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("make", BLOCKS)
def test_closed_and_open_are_exact_in_bfloat16(make, bfloat16):
  block, inputs = _block(make)
  inputs = tf.cast(inputs, tf.bfloat16)
  shortcut, branch = _shortcut(block, inputs), block.branch(inputs)
  for pattern, expected in (([0] * 5, shortcut), ([1] * 5, shortcut + branch)):
    outputs, _, _ = _call(block, inputs, pattern)
    assert outputs.dtype == tf.bfloat16
    np.testing.assert_array_equal(
        tf.cast(outputs, tf.float32), tf.cast(tf.nn.relu(expected), tf.float32)
    )


def test_threshold_of_the_call_stays_float32_in_bfloat16(bfloat16):
  block, inputs = _block(_dense)
  block.gate.logit.assign(gate_ops.threshold_logit(0.9995))
  # In bfloat16 both would be 1, which opens nothing.
  thresholds = tf.constant([0.999, 0.9999, 0.999, 0.9999, 0.5])
  _, gate, _ = block(inputs, threshold=thresholds, rule="threshold")
  np.testing.assert_array_equal(gate, [1, 0, 1, 0, 1])


@pytest.mark.parametrize("execution", ["routed", "masked"])
@pytest.mark.parametrize("make", [_dense, _downsampling])
def test_activated_inputs_are_not_activated_again(make, execution):
  plain, inputs = _block(make)
  block = plain.with_layers(
      plain.branch, gate=plain.gate, shortcut=plain.shortcut
  )
  block.activated_inputs = True
  inputs = tf.nn.relu(inputs)
  for pattern in ([0, 1, 1, 0, 0], [0] * 5, [1] * 5):
    outputs, _, _ = _call(block, inputs, pattern, execution=execution)
    expected, _, _ = _call(plain, inputs, pattern, execution=execution)
    np.testing.assert_array_equal(outputs, expected)


def test_closed_identity_of_activated_inputs_skips_the_activation():
  # softplus(x) is not x, so the difference shows.
  block, inputs = _block(_dense, activation="softplus", activated_inputs=True)
  outputs, _, _ = _call(block, inputs, [0, 1, 0, 0, 1], execution="routed")
  np.testing.assert_array_equal(outputs[2], inputs[2])
  assert np.all(outputs[1] != inputs[1])
  removed = block.with_layers(None, gate=None, shortcut=None)
  np.testing.assert_array_equal(removed(inputs)[0], inputs)
  # A shortcut's output has not been activated.
  block, inputs = _block(
      _downsampling, activation="softplus", activated_inputs=True
  )
  outputs, _, _ = _call(block, inputs, [0] * 5, execution="routed")
  expected = tf.math.softplus(block.shortcut(inputs))
  np.testing.assert_allclose(outputs, expected, rtol=1e-5)


def _train_block(*, scales):
  """A training step of a block, whose batch norm takes the gate or not."""
  keras.utils.set_random_seed(3)
  block = pgates.GatedResidual(
      branches.basic_branch(4),
      gate=pgates.DataDependentGate(initial_probability=0.5, seed=5),
      shortcut=branches.projection_shortcut(4),
  )
  images = tf.constant(
      np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype(np.float32)
  )
  block.build(images.shape)
  with pytest.MonkeyPatch.context() as patch:
    if not scales:
      patch.setattr(
          normalization.BatchNormalization, "can_scale", lambda self: False
      )
    step = tf.function(lambda x: block(x, training=True))
    graph = step.get_concrete_function(images).graph
    with tf.GradientTape() as tape:
      outputs, gates, _ = step(images)
      loss = tf.reduce_sum(outputs**2)
  variables = [v.value for v in block.trainable_variables]
  gradients = tape.gradient(loss, variables)
  state = [v.numpy() for v in block.non_trainable_variables]
  kinds = {operation.type for operation in graph.get_operations()}
  return outputs, gates, gradients, state, kinds


def test_gate_is_multiplied_into_the_last_batch_norm_while_training():
  outputs, gates, gradients, state, kinds = _train_block(scales=True)
  expected, same, of_plain, of_state, plain_kinds = _train_block(scales=False)
  assert "MulNoNan" in plain_kinds and "MulNoNan" not in kinds
  assert 0 < np.sum(gates) < 16
  np.testing.assert_array_equal(gates, same)
  np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
  for ours, theirs in zip(gradients, of_plain, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
  for ours, theirs in zip(state, of_state, strict=True):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
