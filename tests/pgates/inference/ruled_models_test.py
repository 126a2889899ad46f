"""Tests of `pgates.inference.ruled_models`."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.inference import ruled_models
from tests.helpers import parameters
from tests.helpers import toys

SELDOM_MASKED = pytest.mark.parametrize(
    "execution", [pytest.param("masked", marks=pytest.mark.slow), "routed"]
)


@pytest.mark.parametrize(
    "rule, execution",
    parameters.slow_but(
        [
            *(("map", "masked"), ("threshold:0.3", "routed")),
            *(("expected", "routed"), ("always_open", "masked")),
        ],
        itertools.product(toys.RULES, ["masked", "routed"]),
    ),
)
def test_rule_decides_as_numpy_does(rule, execution):
  model = toys.mixed_model()
  derived = ruled_models.with_rule(model, rule, execution=execution)
  expected = toys.oracle(model, toys.examples(12), rule)
  if rule == "map":
    received = derived.predict(toys.examples(12), batch_size=5, verbose=0)
    toys.assert_outputs(received, expected)
  for count in (1, 7, 12):
    rows = {name: value[:count] for name, value in expected.items()}
    toys.assert_outputs(derived(toys.examples(12)[:count]), rows)


def test_conditional_execution_decides_for_one_example():
  model = toys.mixed_model()
  derived = ruled_models.with_rule(model, "map", execution="conditional")
  for x in toys.examples(6):
    toys.assert_outputs(derived(x[None]), toys.oracle(model, x[None], "map"))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_fabricated_gates_tell_examples_apart(threshold):
  logits = toys.oracle(toys.mixed_model(), toys.examples(60), "map")[
      "gate_logits"
  ]
  rates = np.mean(toys.sigmoid(logits[:, :3]) > threshold, axis=0)
  assert np.all((rates > 0.02) & (rates < 0.98))


def test_threshold_of_one_half_is_map():
  model = toys.mixed_model()
  outputs = [
      ruled_models.with_rule(model, rule)(toys.examples(50))
      for rule in ("map", "threshold:0.5")
  ]
  for name in outputs[0]:
    np.testing.assert_array_equal(outputs[0][name], outputs[1][name])


def test_threshold_compares_logits_and_no_rounded_probabilities():
  # In float32, sigmoid(1e-9) is 0.5 and sigmoid(20) is 1.
  model = toys.make_model(
      [toys.independent(1e-9), toys.independent(-1e-9), toys.independent(20)]
  )
  gates = ruled_models.with_rule(model, "map")(toys.examples(1))["gates"]
  np.testing.assert_array_equal(gates, [[1, 0, 1]])
  above = ruled_models.with_rule(model, "threshold:0.999999")(toys.examples(1))
  np.testing.assert_array_equal(above["gates"], [[0, 0, 1]])


def test_default_is_map_for_learned_gates():
  for gates in (
      [toys.dependent(0), toys.dependent(1)],
      [toys.independent(1), toys.independent(-1)],
  ):
    model = toys.make_model(gates)
    derived = ruled_models.with_rule(model, None)
    toys.assert_outputs(
        derived(toys.examples()), toys.oracle(model, toys.examples(), "map")
    )


def test_default_is_expected_for_stochastic_depth():
  survivals = (0.9, 0.3)
  model = toys.make_model([pgates.StochasticDepthGate(p) for p in survivals])
  received = ruled_models.with_rule(model, None)(toys.examples())
  twin = toys.make_model(
      [toys.independent(np.log(p / (1 - p))) for p in survivals]
  )
  toys.assert_outputs(received, toys.oracle(twin, toys.examples(), "expected"))
  mapped = ruled_models.with_rule(model, "map")(toys.examples())["gates"]
  np.testing.assert_array_equal(mapped, [[1, 0]] * 9)


def test_sampled_repeats_itself_from_a_seed():
  model = ruled_models.with_rule(toys.mixed_model(), "sampled")

  def draw():
    return model(toys.examples(100))["gates"].numpy()

  pgates.seed_gates(model, 3)
  first, second = draw(), draw()
  pgates.seed_gates(model, 3)
  np.testing.assert_array_equal(draw(), first)
  pgates.seed_gates(model, 4)
  assert np.any(draw() != first)
  assert np.any(first != second)


def test_sampled_open_rates_are_the_probabilities():
  logits = np.array([-2.0, -0.3, 0.0, 1.5])
  model = toys.make_model(
      [toys.independent(v, seed=i) for i, v in enumerate(logits)]
  )
  sampled = ruled_models.with_rule(model, "sampled")
  draws = np.concatenate(
      [sampled(toys.examples(500))["gates"] for _ in range(8)], axis=0
  )
  expected = toys.sigmoid(logits)
  error = np.sqrt(expected * (1 - expected) / len(draws))
  assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4 * error)


def test_sampled_gates_are_what_the_logits_are_computed_with():
  model = toys.make_model(
      [toys.independent(0.0, seed=1), toys.independent(0.0, seed=2)]
  )
  received = ruled_models.with_rule(model, "sampled")(toys.examples(40))
  patterns = np.asarray(received["gates"]).astype(int)
  assert len({tuple(pattern) for pattern in patterns}) == 4
  for pattern in itertools.product((0, 1), repeat=2):
    static = toys.make_model(
        [toys.independent(9.0 if g else -9.0) for g in pattern]
    )
    rows = np.all(patterns == pattern, axis=1)
    expected = toys.oracle(static, toys.examples(40)[rows], "map")["logits"]
    np.testing.assert_allclose(
        received["logits"].numpy()[rows], expected, atol=1e-5
    )


def graph_operations(model):
  function = tf.function(lambda x: model(x, training=False))
  graph = function.get_concrete_function(
      tf.TensorSpec((None, toys.FEATURES))
  ).graph.as_graph_def()
  nodes = [*graph.node]
  for item in graph.library.function:
    nodes.extend(item.node_def)
  return {node.op for node in nodes}


@pytest.mark.slow
@SELDOM_MASKED
def test_only_sampling_graphs_hold_random_operations(execution):
  model = toys.mixed_model()
  for strategy in (*toys.RULES, None):
    derived = ruled_models.with_rule(model, strategy, execution=execution)
    operations = graph_operations(derived)
    assert "MatMul" in operations
    assert not [op for op in operations if "Random" in op], strategy
  sampled = ruled_models.with_rule(model, "sampled", execution=execution)
  assert [op for op in graph_operations(sampled) if "Random" in op]


@pytest.mark.parametrize(
    "rule", parameters.slow_but(["map"], [*toys.RULES, "sampled"])
)
def test_routed_convolutions_equal_masked_ones(rule):
  model = pgates.CifarResNet(8, input_shape=(8, 8, 3))
  generator = np.random.default_rng(0)
  images = generator.uniform(0, 255, (13, 8, 8, 3)).astype(np.float32)
  for layer in pgates.gated_blocks(model):
    kernel = layer.gate.logit.kernel
    kernel.assign(generator.normal(0, 1, kernel.shape))
  # Half of the examples are on either side of each gate.
  middle = np.median(model(images)["gate_logits"], axis=0)
  for layer, logit in zip(pgates.gated_blocks(model), middle, strict=True):
    layer.gate.logit.bias.assign_sub([logit])
  derived = [
      ruled_models.with_rule(model, rule, execution=execution)
      for execution in ("masked", "routed")
  ]
  seen = []
  for count in (13, 1):
    outputs = []
    for execution in derived:
      pgates.seed_gates(model, 2)
      outputs.append(execution(images[:count]))
    seen.append(outputs[0]["gates"])
    toys.assert_outputs(outputs[1], outputs[0], atol=1e-4)
  rates = np.mean(seen[0], axis=0)
  if rule in ("map", "sampled"):
    assert np.any((rates > 0) & (rates < 1))  # Some, of all and none.


@SELDOM_MASKED
def test_threshold_of_each_example_is_its_own(execution):
  model = toys.mixed_model()
  joined = ruled_models.with_threshold_input(model, execution=execution)
  thresholds = np.array([0.0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0], np.float32)
  x = toys.examples(8)
  received = joined.predict({"images": x, "threshold": thresholds}, verbose=0)
  assert set(received) == {"logits", "gates", "gate_logits"}
  for row, threshold in enumerate(thresholds):
    single = ruled_models.with_rule(model, f"threshold:{float(threshold)!r}")
    expected = single(x)
    for name, value in received.items():
      np.testing.assert_allclose(
          value[row], expected[name][row], atol=1e-5, err_msg=name
      )
  assert len(np.unique(received["gates"], axis=0)) > 2
  assert {id(v) for v in joined.variables} >= {id(v) for v in model.weights}


def test_threshold_input_of_a_nested_model_is_refused():
  _, nested = toys.nested_model([toys.independent(0), toys.independent(0)])
  with pytest.raises(ValueError, match="nested"):
    ruled_models.with_threshold_input(nested)


def test_malformed_rule_is_refused():
  model = toys.mixed_model()
  for rule in ("mapp", "threshold:1.5", "ensemble:2"):
    with pytest.raises(ValueError, match=rule):
      ruled_models.with_rule(model, rule)


def test_threshold_input_of_an_unknown_execution_is_refused():
  with pytest.raises(ValueError, match="execution.*'skipped'"):
    ruled_models.with_threshold_input(toys.mixed_model(), execution="skipped")


@pytest.mark.slow
def test_replica_without_examples_takes_a_threshold_input():
  # A plain Keras model fails at convolutions of an empty batch.
  images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3))
  inputs = {
      "images": images.astype(np.float32),
      "threshold": np.array([0.0, 0.5, 1.0], np.float32),
  }
  with toys.two_replicas().scope():
    model = pgates.CifarResNet(8, gate="independent", input_shape=(8, 8, 3))
  data = tf.data.Dataset.from_tensor_slices(inputs).batch(2)
  received = ruled_models.with_threshold_input(model).predict(data, verbose=0)
  np.testing.assert_array_equal(received["gates"], [[1] * 3, [1] * 3, [0] * 3])
