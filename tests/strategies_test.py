"""Tests of pgates/strategies.py."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates import strategies

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


# The rules.


@pytest.mark.parametrize("execution", ["masked", "routed"])
@pytest.mark.parametrize("rule", RULES)
def test_rule_decides_as_numpy_does(rule, execution):
  model = mixed_model()
  derived = pgates.with_strategy(model, rule, execution=execution)
  expected = oracle(model, examples(12), rule)
  if rule == "map":
    received = derived.predict(examples(12), batch_size=5, verbose=0)
    assert_outputs(received, expected)
  for count in (1, 7, 12):
    rows = {name: value[:count] for name, value in expected.items()}
    assert_outputs(derived(examples(12)[:count]), rows)


def test_conditional_execution_decides_for_one_example():
  model = mixed_model()
  derived = pgates.with_strategy(model, "map", execution="conditional")
  for x in examples(6):
    assert_outputs(derived(x[None]), oracle(model, x[None], "map"))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_fabricated_gates_tell_examples_apart(threshold):
  logits = oracle(mixed_model(), examples(60), "map")["gate_logits"]
  rates = np.mean(sigmoid(logits[:, :3]) > threshold, axis=0)
  assert np.all((rates > 0.02) & (rates < 0.98))


def test_threshold_of_one_half_is_map():
  model = mixed_model()
  outputs = [
      pgates.with_strategy(model, rule)(examples(50))
      for rule in ("map", "threshold:0.5")
  ]
  for name in outputs[0]:
    np.testing.assert_array_equal(outputs[0][name], outputs[1][name])


def test_threshold_compares_logits_and_no_rounded_probabilities():
  # In float32, sigmoid(1e-9) is 0.5 and sigmoid(20) is 1.
  model = make_model([independent(1e-9), independent(-1e-9), independent(20)])
  gates = pgates.with_strategy(model, "map")(examples(1))["gates"]
  np.testing.assert_array_equal(gates, [[1, 0, 1]])
  above = pgates.with_strategy(model, "threshold:0.999999")(examples(1))
  np.testing.assert_array_equal(above["gates"], [[0, 0, 1]])


def test_default_is_map_for_learned_gates():
  for gates in (
      [dependent(0), dependent(1)],
      [independent(1), independent(-1)],
  ):
    model = make_model(gates)
    derived = pgates.with_strategy(model, None)
    assert_outputs(derived(examples()), oracle(model, examples(), "map"))


def test_default_is_expected_for_stochastic_depth():
  survivals = (0.9, 0.3)
  model = make_model([pgates.StochasticDepthGate(p) for p in survivals])
  received = pgates.with_strategy(model, None)(examples())
  twin = make_model([independent(np.log(p / (1 - p))) for p in survivals])
  assert_outputs(received, oracle(twin, examples(), "expected"))
  mapped = pgates.with_strategy(model, "map")(examples())["gates"]
  np.testing.assert_array_equal(mapped, [[1, 0]] * 9)


def test_sampled_repeats_itself_from_a_seed():
  model = pgates.with_strategy(mixed_model(), "sampled")

  def draw():
    return model(examples(100))["gates"].numpy()

  pgates.seed_gates(model, 3)
  first, second = draw(), draw()
  pgates.seed_gates(model, 3)
  np.testing.assert_array_equal(draw(), first)
  pgates.seed_gates(model, 4)
  assert np.any(draw() != first)
  assert np.any(first != second)


def test_sampled_open_rates_are_the_probabilities():
  logits = np.array([-2.0, -0.3, 0.0, 1.5])
  model = make_model([independent(v, seed=i) for i, v in enumerate(logits)])
  sampled = pgates.with_strategy(model, "sampled")
  draws = np.concatenate(
      [sampled(examples(500))["gates"] for _ in range(8)], axis=0
  )
  expected = sigmoid(logits)
  error = np.sqrt(expected * (1 - expected) / len(draws))
  assert np.all(np.abs(np.mean(draws, axis=0) - expected) < 4 * error)


def test_sampled_gates_are_what_the_logits_are_computed_with():
  model = make_model([independent(0.0, seed=1), independent(0.0, seed=2)])
  received = pgates.with_strategy(model, "sampled")(examples(40))
  patterns = np.asarray(received["gates"]).astype(int)
  assert len({tuple(pattern) for pattern in patterns}) == 4
  for pattern in itertools.product((0, 1), repeat=2):
    static = make_model([independent(9.0 if g else -9.0) for g in pattern])
    rows = np.all(patterns == pattern, axis=1)
    expected = oracle(static, examples(40)[rows], "map")["logits"]
    np.testing.assert_allclose(
        received["logits"].numpy()[rows], expected, atol=1e-5
    )


# Passes.


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_ensemble_averages_separate_sampled_passes(execution):
  model = mixed_model()
  ensemble = pgates.with_strategy(model, "ensemble:4", execution=execution)
  sampled = pgates.with_strategy(model, "sampled", execution=execution)
  pgates.seed_gates(model, 7)
  received = ensemble(examples(30))
  pgates.seed_gates(model, 7)
  passes = [sampled(examples(30)) for _ in range(4)]

  gates = np.concatenate([p["gates"] for p in passes], axis=1)
  assert received["gates"].shape == (30, 4 * 5)
  np.testing.assert_array_equal(received["gates"], gates)
  np.testing.assert_allclose(
      received["gate_logits"],
      np.concatenate([p["gate_logits"] for p in passes], axis=1),
      atol=1e-5,
  )
  probabilities = np.exp([log_softmax(p["logits"]) for p in passes])
  np.testing.assert_allclose(
      np.exp(received["logits"]), np.mean(probabilities, axis=0), atol=1e-5
  )
  np.testing.assert_allclose(
      np.sum(np.exp(received["logits"]), -1), 1, atol=1e-5
  )
  first = np.argmax(probabilities, axis=-1)
  votes = np.mean(first[..., None] == np.arange(CLASSES), axis=0)
  np.testing.assert_allclose(received["votes"], votes, atol=1e-6)
  assert len(np.unique(votes)) > 2  # Passes that differ.
  executed = sum(model.macs.executed(p["gates"]) for p in passes)
  np.testing.assert_array_equal(
      ensemble.macs.executed(received["gates"]), executed
  )


def test_ensemble_of_one_pass_is_sampled():
  model = mixed_model()
  outputs = []
  for strategy in ("ensemble:1", "sampled"):
    pgates.seed_gates(model, 1)
    outputs.append(pgates.with_strategy(model, strategy)(examples()))
  np.testing.assert_array_equal(outputs[0]["gates"], outputs[1]["gates"])
  np.testing.assert_allclose(
      outputs[0]["logits"], log_softmax(outputs[1]["logits"]), atol=1e-5
  )


# Strategies that measure.


def test_measured_rates_are_means_over_examples():
  model = mixed_model()
  rates, probabilities = pgates.measure_gates(model, batches(11, 4))
  expected = oracle(model, examples(11), "map")
  np.testing.assert_allclose(rates, np.mean(expected["gates"], axis=0))
  np.testing.assert_allclose(
      probabilities,
      np.mean(sigmoid(expected["gate_logits"]), axis=0),
      atol=1e-6,
  )


def kept_blocks(model):
  return [b.branch is not None for b in pgates.gated_blocks(model)]


@pytest.mark.parametrize(
    "strategy, kept",
    [
        ("prune:0", [1, 1, 1, 1, 1, 1]),
        ("prune:0.5", [0, 1, 0, 1, 1, 1]),
        ("top_k:0", [0, 0, 0, 0, 0, 0]),
        # All rates are 0 or 1: the probability breaks the tie.
        ("top_k:1", [0, 0, 0, 0, 0, 1]),
        ("top_k:4", [0, 1, 0, 1, 1, 1]),
        ("top_k:5", [1, 1, 0, 1, 1, 1]),
    ],
)
def test_transformation_keeps_the_blocks_open_most_often(strategy, kept):
  gates = [independent(v) for v in (-1, 3, -2, 0.5, 1)]
  model = make_model([*gates, None])
  derived = pgates.with_strategy(model, strategy, validation_data=batches())
  assert kept_blocks(derived) == [bool(k) for k in kept]
  assert all(b.gate is None for b in pgates.gated_blocks(derived))
  np.testing.assert_array_equal(derived(examples())["gates"], [kept] * 9)


@pytest.mark.parametrize("above", [False, True])
def test_prune_drops_blocks_open_less_than_the_rate(above):
  model = make_model([dependent(i) for i in range(4)])
  rates = np.mean(oracle(model, examples(16), "map")["gates"], axis=0)
  second = float(np.sort(rates)[1])
  assert np.sort(rates)[0] < second
  # A block open for exactly the rate stays.
  rate = np.nextafter(second, 1) if above else second
  derived = pgates.with_strategy(
      model, f"prune:{float(rate)!r}", validation_data=batches(16)
  )
  expected = rates > second if above else rates >= second
  assert kept_blocks(derived) == expected.tolist()


def shares(model, x, threshold):
  """The mean share of the dense multiply-adds at a threshold."""
  gates = oracle(model, x, f"threshold:{threshold!r}")["gates"]
  branches = np.array([10 * 3**i for i in range(gates.shape[1])])
  always = model.macs.always
  return np.mean(always + gates @ branches) / (always + branches.sum())


def best_share(model, x, budget):
  """The largest share within a budget, of all thresholds between logits."""
  logits = np.unique(oracle(model, x, "always_open")["gate_logits"])
  logits = np.concatenate([logits[:1] - 1, logits, logits[-1:] + 1])
  midpoints = sigmoid((logits[1:] + logits[:-1]) / 2)
  found = [shares(model, x, float(threshold)) for threshold in midpoints]
  return max(share for share in found if share <= budget)


def achieved_share(model, derived, x):
  macs = model.macs
  return np.mean(macs.executed(derived(x)["gates"])) / macs.dense


@pytest.mark.parametrize("budget", [0.35, 0.75, 1.0])
@pytest.mark.parametrize(
    "logits",
    [
        (-1.0, 0.3, 2.0, 0.25),
        # Collapsed gates, of probabilities of nearly 1 or 0.
        (11.0, 9.5, 10.0, 12.0),
        (-12.0, 10.0, -11.0, -9.0),
    ],
)
def test_budget_spends_what_the_best_threshold_can(logits, budget):
  model = make_model([independent(v) for v in logits])
  derived = pgates.with_strategy(
      model, f"budget:{budget}", validation_data=batches()
  )
  share = achieved_share(model, derived, examples())
  assert share <= budget
  np.testing.assert_allclose(share, best_share(model, examples(), budget))


@pytest.mark.parametrize("budget", [0.4, 0.8])
def test_budget_holds_where_gates_read_what_others_decide(budget):
  model = make_model([dependent(i) for i in range(4)])
  derived = pgates.with_strategy(
      model, f"budget:{budget}", validation_data=batches(32, 32)
  )
  share = achieved_share(model, derived, examples(32))
  assert share <= budget
  # Shares do not fall strictly, so a bisection may miss the very best, by a
  # block or two of one example.
  assert share >= best_share(model, examples(32), budget) - 2 / 32
  assert_outputs_of_one_threshold(model, derived)


def assert_outputs_of_one_threshold(model, derived):
  threshold = {
      float(node.arguments.kwargs["strategy"].partition(":")[2])
      for layer in pgates.gated_blocks(model)
      for node in layer._inbound_nodes
      if str(node.arguments.kwargs.get("strategy")).startswith("threshold:")
  }
  (threshold,) = threshold
  expected = oracle(model, examples(20, seed=4), f"threshold:{threshold!r}")
  assert_outputs(derived(examples(20, seed=4)), expected)


@pytest.mark.parametrize("budget", [0, 1])
def test_budget_of_nothing_or_everything_moves_all_gates(budget):
  model = make_model([independent(v) for v in (9, 0, -9)])
  derived = pgates.with_strategy(
      model, f"budget:{budget}", validation_data=batches()
  )
  gates = derived(examples())["gates"]
  np.testing.assert_array_equal(gates, np.full((9, 3), budget))


@pytest.mark.parametrize("strategy", ["prune:0.5", "budget:0.6"])
def test_measuring_reads_images_of_validation_data_only(strategy):
  model = make_model([dependent(i) for i in range(3)])
  before = [np.asarray(v) for v in model.variables]

  def decided(images, *labels):
    data = tf.data.Dataset.from_tensor_slices((images, *labels)).batch(5)
    derived = pgates.with_strategy(model, strategy, validation_data=data)
    return derived(examples(40, seed=8))["gates"].numpy()

  images = examples(12, seed=1)
  first = decided(images, np.arange(12))
  # Nobody could learn from these labels, or from none.
  np.testing.assert_array_equal(decided(images, np.full(12, np.nan)), first)
  np.testing.assert_array_equal(decided(images), first)
  assert np.any(decided(images - 3, np.arange(12)) != first)
  for variable, value in zip(model.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)


# The derived model.


@pytest.mark.parametrize("strategy", ["map", "ensemble:2", None])
def test_derived_model_shares_layers_and_follows_training(strategy):
  model = mixed_model()
  derived = pgates.with_strategy(model, strategy)
  assert {id(v) for v in derived.variables} >= {id(v) for v in model.weights}
  assert [id(b) for b in pgates.gated_blocks(derived)] == [
      id(b) for b in pgates.gated_blocks(model)
  ]
  stale = derived.predict(examples(), verbose=0)["logits"]
  model.fit(batches(), verbose=0)
  received = derived.predict(examples(), verbose=0)
  assert np.max(np.abs(received["logits"] - stale)) > 1e-3
  if strategy != "ensemble:2":
    assert_outputs(received, oracle(model, examples(), strategy or "map"))


def test_original_keeps_its_own_decisions():
  model = mixed_model()
  before = model.predict(examples(), verbose=0)
  for strategy in ("always_open", "ensemble:2", "prune:0.5"):
    derived = pgates.with_strategy(
        model, strategy, execution="routed", validation_data=batches()
    )
    derived(examples())
  after = model.predict(examples(), verbose=0)
  model.predict_function = None
  retraced = model.predict(examples(), verbose=0)
  for name in before:
    np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_array_equal(retraced[name], before[name])


@pytest.mark.parametrize(
    "strategy", ["threshold:0.3", "ensemble:2", "prune:0.5"]
)
def test_derived_model_evaluates_as_the_original_is_compiled(strategy):
  loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  model = mixed_model(
      loss=loss,
      metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
      rate_loss=pgates.TargetRateLoss(0.5),
  )
  derived = pgates.with_strategy(model, strategy, validation_data=batches())
  pgates.seed_gates(model, 0)
  received = derived.evaluate(batches(), verbose=0, return_dict=True)
  pgates.seed_gates(model, 0)
  outputs = derived.predict(batches(), verbose=0)
  labels = np.arange(9) % CLASSES
  logits = log_softmax(outputs["logits"])
  own = np.take_along_axis(logits, labels[:, None], -1)
  expected = {
      "task_loss": -np.mean(own),
      "accuracy": np.mean(np.argmax(logits, axis=-1) == labels),
      "top2": np.mean(np.sum(logits > own, axis=-1) < 2),
      "open_rate": np.mean(outputs["gates"]),
      "macs": np.mean(derived.macs.executed(outputs["gates"])),
  }
  for name, value in expected.items():
    assert received[name] == pytest.approx(value, rel=1e-5), name


def graph_operations(model):
  function = tf.function(lambda x: model(x, training=False))
  graph = function.get_concrete_function(
      tf.TensorSpec((None, FEATURES))
  ).graph.as_graph_def()
  nodes = [*graph.node]
  for item in graph.library.function:
    nodes.extend(item.node_def)
  return {node.op for node in nodes}


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_only_sampling_graphs_hold_random_operations(execution):
  model = mixed_model()
  for strategy in (*RULES, None):
    derived = pgates.with_strategy(model, strategy, execution=execution)
    operations = graph_operations(derived)
    assert "MatMul" in operations
    assert not [op for op in operations if "Random" in op], strategy
  sampled = pgates.with_strategy(model, "sampled", execution=execution)
  assert [op for op in graph_operations(sampled) if "Random" in op]


@pytest.mark.parametrize("rule", [*RULES, "sampled"])
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
      pgates.with_strategy(model, rule, execution=execution)
      for execution in ("masked", "routed")
  ]
  seen = []
  for count in (13, 1):
    outputs = []
    for execution in derived:
      pgates.seed_gates(model, 2)
      outputs.append(execution(images[:count]))
    seen.append(outputs[0]["gates"])
    assert_outputs(outputs[1], outputs[0], atol=1e-4)
  rates = np.mean(seen[0], axis=0)
  if rule in ("map", "sampled"):
    assert np.any((rates > 0) & (rates < 1))  # Some, of all and none.


# Models of others.


def test_plain_keras_model_takes_every_strategy():
  model = mixed_model(cls=keras.Model)
  for strategy in ("map", "expected", "ensemble:2", "top_k:2", "budget:0.6"):
    derived = pgates.with_strategy(model, strategy, validation_data=batches())
    assert type(derived) is type(model)
    received = derived(examples())
    if strategy in RULES:
      assert_outputs(received, oracle(model, examples(), strategy))


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


@pytest.mark.parametrize(
    "rule, execution",
    [
        ("map", "masked"),
        ("map", "routed"),
        ("expected", "routed"),
        ("prune:0.5", "masked"),
        ("ensemble:2", "masked"),
    ],
)
def test_blocks_of_a_nested_model_obey_too(rule, execution):
  flat, nested = nested_model([dependent(0), dependent(1), independent(0.4)])
  outputs = []
  for model in (flat, nested):
    derived = pgates.with_strategy(
        model, rule, execution=execution, validation_data=batches()
    )
    pgates.seed_gates(model, 3)
    outputs.append(derived(examples()))
  assert_outputs(outputs[1], outputs[0])


# Thresholds given with the examples.


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_threshold_of_each_example_is_its_own(execution):
  model = mixed_model()
  joined = pgates.with_threshold_input(model, execution=execution)
  thresholds = np.array([0.0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.95, 1.0], np.float32)
  x = examples(8)
  received = joined.predict({"images": x, "threshold": thresholds}, verbose=0)
  assert set(received) == {"logits", "gates", "gate_logits"}
  for row, threshold in enumerate(thresholds):
    single = pgates.with_strategy(model, f"threshold:{float(threshold)!r}")
    expected = single(x)
    for name, value in received.items():
      np.testing.assert_allclose(
          value[row], expected[name][row], atol=1e-5, err_msg=name
      )
  assert len(np.unique(received["gates"], axis=0)) > 2
  assert {id(v) for v in joined.variables} >= {id(v) for v in model.weights}


def test_threshold_input_of_a_nested_model_is_refused():
  _, nested = nested_model([independent(0), independent(0)])
  with pytest.raises(ValueError, match="nested"):
    pgates.with_threshold_input(nested)
  with pytest.raises(ValueError, match="nested"):
    pgates.with_strategy(nested, "budget:0.5", validation_data=batches())


# Flags.


@pytest.mark.parametrize(
    "text, expected",
    [
        ("sampled", ("sampled", None)),
        ("map", ("map", None)),
        ("threshold:0.3", ("threshold", 0.3)),
        ("always_open", ("always_open", None)),
        ("expected", ("expected", None)),
        ("ensemble:5", ("ensemble", 5)),
        ("prune:0.5", ("prune", 0.5)),
        ("top_k:6", ("top_k", 6)),
        ("budget:1", ("budget", 1.0)),
    ],
)
def test_flag_form_is_parsed(text, expected):
  assert pgates.parse_strategy(text) == expected
  assert text.partition(":")[0] in pgates.STRATEGIES


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mapp",
        "MAP",
        "map:0.5",
        "threshold",
        "threshold:",
        "threshold:1.5",
        "threshold:-0.1",
        "threshold:nan",
        "threshold:high",
        "ensemble",
        "ensemble:0",
        "ensemble:2.5",
        "prune",
        "prune:-0.1",
        "prune:1.1",
        "prune:nan",
        "top_k:",
        "top_k:-1",
        "top_k:0.5",
        "budget:2",
        "budget:nan",
        "budget:all",
        "budget:0.5:0.6",
        3,
    ],
)
def test_malformed_strategy_is_refused(text):
  with pytest.raises(ValueError, match="Expected|Give the threshold"):
    pgates.parse_strategy(text)
  with pytest.raises(ValueError, match="Expected|Give the threshold"):
    pgates.with_strategy(mixed_model(), text, validation_data=batches())


@pytest.mark.parametrize("text", ["map", "sampled", "ensemble:2", "budget:0.5"])
def test_unknown_execution_is_refused(text):
  with pytest.raises(ValueError, match="execution.*'skipped'"):
    pgates.with_strategy(
        mixed_model(), text, execution="skipped", validation_data=batches()
    )


@pytest.mark.parametrize("strategy", ["prune:0.5", "top_k:1", "budget:0.5"])
def test_measuring_without_data_is_refused(strategy):
  with pytest.raises(ValueError, match=f"'{strategy}'.*validation_data"):
    pgates.with_strategy(mixed_model(), strategy)


def test_more_blocks_than_there_are_is_refused():
  with pytest.raises(ValueError, match="'top_k:6'.*5 blocks"):
    pgates.with_strategy(mixed_model(), "top_k:6", validation_data=batches())


def test_model_that_is_not_functional_is_refused():
  class Subclass(keras.Model):

    def call(self, x):
      return x

  with pytest.raises(ValueError, match="functional"):
    pgates.with_strategy(Subclass(), "map")


# Files and replicas.


@pytest.mark.parametrize(
    "strategy, execution",
    [
        ("map", "routed"),
        ("threshold:0.3", "masked"),
        ("expected", "routed"),
        ("always_open", "masked"),
        ("prune:0.5", "masked"),
        ("budget:0.6", "routed"),
    ],
)
def test_derived_model_survives_a_keras_file(strategy, execution, tmp_path):
  derived = pgates.with_strategy(
      mixed_model(), strategy, execution=execution, validation_data=batches()
  )
  derived.save(tmp_path / "model.keras")
  loaded = keras.models.load_model(tmp_path / "model.keras")
  assert_outputs(loaded(examples(30)), derived(examples(30)), atol=1e-6)


def test_ensemble_survives_a_keras_file(tmp_path):
  derived = pgates.with_strategy(mixed_model(), "ensemble:3")
  derived.save(tmp_path / "model.keras")
  loaded = keras.models.load_model(tmp_path / "model.keras")
  outputs = []
  for model in (derived, loaded):
    pgates.seed_gates(model, 5)
    outputs.append(model(examples()))
  assert_outputs(outputs[1], outputs[0], atol=1e-6)
  np.testing.assert_array_equal(outputs[1]["votes"], outputs[0]["votes"])


def two_replicas():
  return tf.distribute.MirroredStrategy(
      ["CPU:0", "CPU:1"],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )


@pytest.mark.parametrize("strategy", ["sampled", "budget:0.6"])
def test_two_replicas_evaluate_as_one(strategy):
  # The last batch, of one example, leaves a replica empty.
  data = batches(9, 4)

  def evaluate():
    model = mixed_model()
    derived = pgates.with_strategy(model, strategy, validation_data=data)
    pgates.seed_gates(model, 1)
    return derived.evaluate(data, verbose=0, return_dict=True)

  expected = evaluate()
  with two_replicas().scope():
    received = evaluate()
  assert received == pytest.approx(expected, rel=1e-4)


def test_replica_without_examples_takes_a_threshold_input():
  # A plain Keras model fails at convolutions of an empty batch.
  images = np.random.default_rng(0).uniform(0, 255, (3, 8, 8, 3))
  inputs = {
      "images": images.astype(np.float32),
      "threshold": np.array([0.0, 0.5, 1.0], np.float32),
  }
  with two_replicas().scope():
    model = pgates.CifarResNet(8, gate="independent", input_shape=(8, 8, 3))
  data = tf.data.Dataset.from_tensor_slices(inputs).batch(2)
  received = pgates.with_threshold_input(model).predict(data, verbose=0)
  np.testing.assert_array_equal(received["gates"], [[1] * 3, [1] * 3, [0] * 3])


def test_model_of_a_scope_may_be_derived_outside_of_it():
  expected = oracle(mixed_model(), examples(9), "map")
  with two_replicas().scope():
    model = mixed_model()
  derived = pgates.with_strategy(model, "map", execution="routed")
  assert derived.distribute_strategy is model.distribute_strategy
  received = derived.predict(batches(9, 4), verbose=0)
  np.testing.assert_array_equal(received["gates"], expected["gates"])


def test_every_strategy_has_a_line_in_the_table():
  for name in pgates.STRATEGIES:
    assert f"| `{name}" in strategies.__doc__
