"""Tests of `export.transforms.constant_weights`."""

import numpy as np
import pytest
import tensorflow as tf

from export.transforms import constant_weights
from export.transforms import folding
import pgates
from tests.helpers import gated_networks


def _function(model, **options):
  core = constant_weights.freeze(model, **options)
  return tf.function(
      lambda images: core(images, training=False),
      input_signature=[tf.TensorSpec([None, 8, 8, 3])],
      autograph=False,
  ).get_concrete_function()


@pytest.mark.parametrize(
    "execution", [pytest.param("masked", marks=pytest.mark.slow), "routed"]
)
def test_frozen_network_answers_as_before_and_holds_no_variable(execution):
  model = gated_networks.resnet()
  decided = pgates.with_strategy(model, "map", execution=execution)
  function = _function(decided)
  images = gated_networks.images()
  expected = model.predict(images, verbose=0)
  received = function(tf.constant(images))
  assert 0 < expected["gates"].mean() < 1
  for name, value in expected.items():
    np.testing.assert_allclose(received[name], value, rtol=1e-5, atol=1e-5)
  assert not function.variables and not function.captured_inputs


def test_weights_stand_inside_of_the_branch_that_reads_them_once():
  decided = pgates.with_strategy(
      gated_networks.resnet(), "map", execution="routed"
  )
  graph = _function(decided).graph.as_graph_def()
  kernels = [
      function.signature.name
      for function in graph.library.function
      for node in function.node_def
      if node.op == "Const"
      and tf.make_ndarray(node.attr["value"].tensor).ndim == 4
  ]
  # Two convolutions of three blocks; no function holds the same twice.
  assert len(kernels) == 6 and len(set(kernels)) == 3
  for function in graph.library.function:
    if function.signature.name in kernels:
      types = [argument.name for argument in function.signature.input_arg]
      assert not any("kernel" in name for name in types)


@pytest.mark.parametrize(
    "fold", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_gates_that_pool_fast_decide_as_before(fold):
  model = gated_networks.resnet()
  source = folding.fold_batch_norms(model) if fold else model
  decided = pgates.with_strategy(source, "map", execution="routed")
  function = _function(decided, average_pool=True)
  operations = [operation.type for operation in function.graph.get_operations()]
  assert operations.count("AvgPool") == 3
  images = gated_networks.images(40)
  np.testing.assert_array_equal(
      function(tf.constant(images))["gates"],
      model.predict(images, verbose=0)["gates"],
  )


def test_sampled_gates_draw_anew_with_each_call():
  model = gated_networks.resnet(gate="independent")
  for block in pgates.gated_blocks(model):
    block.gate.logit.assign(0.0)
  function = _function(pgates.with_strategy(model, "sampled"))
  images = tf.constant(gated_networks.images(200))
  first, second = (function(images)["gates"].numpy() for _ in range(2))
  assert np.any(first != second)
  # 600 draws of probability one half: four standard errors.
  assert abs(first.mean() - 0.5) <= 4 * 0.5 / np.sqrt(600)


@pytest.mark.slow
def test_quantized_layers_are_frozen_as_they_are():
  model, images = gated_networks.resnet(), gated_networks.images()
  model.get_layer("classifier").quantize("int8")
  expected = model.predict(images, verbose=0)
  received = _function(model)(tf.constant(images))
  for name, value in expected.items():
    np.testing.assert_allclose(received[name], value, rtol=1e-5, atol=1e-5)
