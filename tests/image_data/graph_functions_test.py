"""Tests of graph_functions: one operation for its callers, one trace."""

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from image_data import graph_functions


def _long(x):
  for _ in range(50):
    x = x * 3 + 1
  return x


@pytest.fixture
def traces():
  return []


@pytest.fixture
def long_function(traces):
  def function(x):
    traces.append(x)
    return _long(x)

  return graph_functions.apart(function)


def _caller(function):
  return tf.function(
      lambda x: tf.cond(x > 0, lambda: function(x), lambda: x),
      autograph=False,
      input_signature=[tf.TensorSpec([], tf.int64)],
  )


def _operations_when_run(function, argument):
  """Names of the operations that TensorFlow leaves in the graph it runs."""
  context.context().enable_run_metadata()
  try:
    function(argument)
    graphs = context.context().export_run_metadata().function_graphs
  finally:
    context.context().disable_run_metadata()
  nodes = [graph.post_optimization_graph.node for graph in graphs]
  return [node.op for node in max(nodes, key=len)]


def test_it_is_one_operation_in_the_branches_of_the_graph(long_function):
  one = tf.constant(1, tf.int64)
  found = _operations_when_run(_caller(long_function), one)
  assert "Merge" in found  # Branches are part of the graph around them.
  assert sum(name.endswith("PartitionedCall") for name in found) == 1
  assert len(found) < 20
  # What it is for: without it, all of them are there.
  assert len(_operations_when_run(_caller(_long), one)) > 100


def test_values_are_those_of_the_function(long_function):
  x = 2
  for _ in range(50):
    x = (x * 3 + 1 + 2**63) % 2**64 - 2**63
  assert _caller(long_function)(tf.constant(2, tf.int64)).numpy() == x
  assert _caller(long_function)(tf.constant(-2, tf.int64)).numpy() == -2


def test_it_is_traced_once_for_all_data_sets(long_function, traces):
  for size in (2, 3):
    data = tf.data.Dataset.range(size).map(_caller(long_function))
    assert len([*data]) == size
  assert len(traces) == 1
