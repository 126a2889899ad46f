"""Tests of `pgates.layers.executions`."""

import numpy as np
import pytest
import tensorflow as tf

from pgates.layers import executions

PATTERNS = {
    "all": [1, 1, 1, 1, 1],
    "some": [0, 1, 0, 1, 1],
    "last": [0, 0, 0, 0, 1],
    "none": [0, 0, 0, 0, 0],
    "one_open": [1],
    "one_closed": [0],
}


class _Branch:
  """A branch that counts its calls and the examples that it computes."""

  def __init__(self):
    self.num_rows = tf.Variable(0)
    self.num_calls = tf.Variable(0)

  def __call__(self, inputs):
    self.num_rows.assign_add(tf.shape(inputs)[0])
    self.num_calls.assign_add(1)
    return tf.sin(3 * inputs)


def _batch(size):
  rng = np.random.default_rng(0)
  inputs, shortcut = rng.normal(size=(2, size, 3, 2)).astype(np.float32)
  return inputs, shortcut


def _expected(inputs, shortcut, scales):
  return shortcut + np.reshape(scales, (-1, 1, 1)) * np.sin(3 * inputs)


# A conditional execution is for one example.
CASES = [
    (execution, name)
    for execution in executions.EXECUTIONS
    for name in PATTERNS
    if execution != "conditional" or name.startswith("one_")
]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize(("execution", "pattern"), CASES)
def test_open_examples_add_their_branch_and_closed_ones_nothing(
    execution, pattern, scale, traced
):
  gates = np.float32(PATTERNS[pattern])
  inputs, shortcut = _batch(len(gates))
  execute = getattr(executions, execution)
  branch = _Branch()

  def run(inputs, shortcut, gates):
    scales = None if scale is None else gates * scale
    return execute(branch, inputs, shortcut, gates, scales)

  if traced:  # With any batch size.
    rows = tf.TensorSpec([None, 3, 2])
    signature = [rows, rows, tf.TensorSpec([None])]
    run = tf.function(run, input_signature=signature)
  outputs = run(*map(tf.constant, (inputs, shortcut, gates)))
  expected = _expected(
      inputs, shortcut, gates * (1 if scale is None else scale)
  )
  np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-6)
  closed = gates == 0
  np.testing.assert_array_equal(outputs.numpy()[closed], shortcut[closed])


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_routed_runs_the_branch_for_the_open_examples_only(pattern, traced):
  inputs, shortcut = map(tf.constant, _batch(len(pattern)))
  branch = _Branch()
  execute = tf.function(executions.routed) if traced else executions.routed
  execute(branch, inputs, shortcut, tf.constant(pattern, tf.float32))
  assert branch.num_rows.numpy() == sum(pattern)
  assert branch.num_calls.numpy() == (1 if any(pattern) else 0)


def test_masked_runs_the_branch_for_every_example():
  inputs, shortcut = map(tf.constant, _batch(5))
  branch = _Branch()
  executions.masked(
      branch, inputs, shortcut, tf.constant(PATTERNS["none"], tf.float32)
  )
  assert branch.num_rows.numpy() == 5


def test_routed_pays_no_gather_where_all_examples_are_open():
  rows = tf.TensorSpec([None, 3, 2])
  function = tf.function(
      lambda inputs, shortcut, scales: executions.routed(
          tf.sin, inputs, shortcut, scales
      ),
      input_signature=[rows, rows, tf.TensorSpec([None])],
  ).get_concrete_function()
  graph = function.graph.as_graph_def()
  assert not any("Gather" in node.op for node in graph.node)
  for operation in ("Gather", "Scatter"):
    holders = [
        function.signature.name
        for function in graph.library.function
        if any(operation in node.op for node in function.node_def)
    ]
    # Of "are all open?", within "is any open?", the branch of no.
    assert holders and not any("cond_true" in name for name in holders)


@pytest.mark.parametrize("execution", executions.EXECUTIONS)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_branch_that_is_not_finite_does_not_leak_through_a_closed_gate(
    execution, value
):
  inputs, shortcut = map(tf.constant, _batch(1))
  outputs = getattr(executions, execution)(
      lambda x: x * value, inputs, shortcut, tf.zeros([1])
  )
  np.testing.assert_array_equal(outputs, shortcut)


@pytest.mark.parametrize("gate", [0.0, 1.0])
def test_conditional_runs_the_branch_of_an_open_gate_only(gate):
  inputs, shortcut = map(tf.constant, _batch(1))
  branch = _Branch()
  tf.function(executions.conditional)(
      branch, inputs, shortcut, tf.constant([gate])
  )
  assert branch.num_rows.numpy() == gate


def test_conditional_does_not_decide_for_a_second_example():
  inputs, shortcut = map(tf.constant, _batch(2))
  with pytest.raises(tf.errors.InvalidArgumentError, match="got 2"):
    executions.conditional(tf.identity, inputs, shortcut, tf.ones([2]))


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_outputs_keep_the_type_of_the_network(execution):
  inputs, shortcut = (tf.cast(x, tf.bfloat16) for x in _batch(5))
  outputs = getattr(executions, execution)(
      tf.identity, inputs, shortcut, tf.constant(PATTERNS["some"], tf.float32)
  )
  assert outputs.dtype == tf.bfloat16
  is_open = np.reshape(PATTERNS["some"], (5, 1, 1)) == 1
  expected = tf.where(is_open, shortcut + inputs, shortcut)
  np.testing.assert_array_equal(
      tf.cast(outputs, tf.float32), tf.cast(expected, tf.float32)
  )


def test_routed_keeps_the_static_shape():
  shapes = []

  @tf.function
  def run(inputs, shortcut, scales):
    outputs = executions.routed(tf.sin, inputs, shortcut, scales)
    shapes.append(outputs.shape.as_list())
    return outputs

  rows = tf.TensorSpec([None, 3, 2])
  run.get_concrete_function(rows, rows, tf.TensorSpec([None]))
  assert shapes == [[None, 3, 2]]


def test_gradient_of_a_scale_is_the_inner_product_with_the_branch():
  inputs, shortcut = map(tf.constant, _batch(5))
  scales = tf.constant(PATTERNS["some"], tf.float32)
  weights = tf.constant(_batch(5)[1])
  with tf.GradientTape() as tape:
    tape.watch(scales)
    outputs = executions.masked(_Branch(), inputs, shortcut, scales)
    loss = tf.reduce_sum(weights * outputs)
  # For closed examples too.
  np.testing.assert_allclose(
      tape.gradient(loss, scales),
      np.sum(weights * np.sin(3 * inputs), axis=(1, 2)),
      rtol=1e-5,
  )


@pytest.mark.parametrize(
    "is_identity", [False, pytest.param(True, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("execution", "pattern"), CASES)
def test_the_activation_comes_last(execution, pattern, is_identity):
  gates = np.float32(PATTERNS[pattern])
  inputs, shortcut = map(tf.constant, _batch(len(gates)))
  shortcut = inputs if is_identity else shortcut
  outputs = tf.function(getattr(executions, execution))(
      tf.sin, inputs, shortcut, tf.constant(gates), activation=tf.nn.relu
  )
  branch = np.reshape(gates, (-1, 1, 1)) * np.sin(inputs)
  expected = np.maximum(shortcut + branch, 0)
  np.testing.assert_allclose(outputs, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("execution", ["routed", "conditional"])
def test_closed_examples_take_the_cheaper_way(execution):
  pattern = "some" if execution == "routed" else "one_closed"
  gates = np.float32(PATTERNS[pattern])
  inputs, shortcut = map(tf.constant, _batch(len(gates)))
  outputs = getattr(executions, execution)(
      tf.sin,
      inputs,
      shortcut,
      tf.constant(gates),
      activation=tf.abs,
      closed=tf.negative,
  )
  is_open = np.reshape(gates, (-1, 1, 1)) == 1
  expected = np.where(is_open, np.abs(shortcut + np.sin(inputs)), -shortcut)
  np.testing.assert_allclose(outputs, expected, rtol=1e-6)


def test_unknown_execution_is_refused():
  with pytest.raises(ValueError, match="'masked', 'routed'.*'skipped'"):
    executions.check_execution("skipped")
  for execution in executions.EXECUTIONS:
    executions.check_execution(execution)
