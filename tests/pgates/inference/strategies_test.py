"""Tests of pgates/inference/strategies.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.inference import strategies
from tests.helpers import parameters
from tests.helpers import toys
from tests.helpers import training_runs

# Strategies that measure.


def kept_blocks(model):
  return [b.branch is not None for b in pgates.gated_blocks(model)]


@pytest.mark.parametrize(
    "execution", [pytest.param("masked", marks=pytest.mark.slow), "routed"]
)
def test_budget_is_the_rule_of_its_threshold(execution):
  model = toys.make_model([toys.dependent(i) for i in range(4)])
  derived = pgates.with_strategy(
      model,
      "budget:0.6",
      execution=execution,
      validation_data=toys.batches(32, 32),
  )
  threshold = pgates.budget_threshold(model, 0.6, toys.batches(32, 32))
  x = toys.examples(20, seed=4)
  expected = toys.oracle(model, x, f"threshold:{threshold!r}")
  toys.assert_outputs(derived(x), expected)


@pytest.mark.parametrize(
    "strategy",
    ["prune:0.5", pytest.param("budget:0.6", marks=pytest.mark.slow)],
)
def test_measuring_reads_images_of_validation_data_only(strategy):
  model = toys.make_model([toys.dependent(i) for i in range(3)])
  before = [np.asarray(v) for v in model.variables]

  def decided(images, *labels):
    data = tf.data.Dataset.from_tensor_slices((images, *labels)).batch(5)
    derived = pgates.with_strategy(model, strategy, validation_data=data)
    return derived(toys.examples(40, seed=8))["gates"].numpy()

  images = toys.examples(12, seed=1)
  first = decided(images, np.arange(12))
  # Nobody could learn from these labels, or from none.
  np.testing.assert_array_equal(decided(images, np.full(12, np.nan)), first)
  np.testing.assert_array_equal(decided(images), first)
  assert np.any(decided(images - 3, np.arange(12)) != first)
  for variable, value in zip(model.variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)


# The derived model.


@pytest.mark.parametrize(
    "strategy",
    parameters.slow_after(1, ["map", "ensemble:2", None]),
)
def test_derived_model_shares_layers_and_follows_training(strategy):
  model = toys.mixed_model()
  derived = pgates.with_strategy(model, strategy)
  assert {id(v) for v in derived.variables} >= {id(v) for v in model.weights}
  assert [id(b) for b in pgates.gated_blocks(derived)] == [
      id(b) for b in pgates.gated_blocks(model)
  ]
  stale = derived.predict(toys.examples(), verbose=0)["logits"]
  model.fit(toys.batches(), verbose=0)
  received = derived.predict(toys.examples(), verbose=0)
  assert np.max(np.abs(received["logits"] - stale)) > 1e-3
  if strategy != "ensemble:2":
    toys.assert_outputs(
        received, toys.oracle(model, toys.examples(), strategy or "map")
    )


@pytest.mark.slow
def test_original_keeps_its_own_decisions():
  model = toys.mixed_model()
  before = model.predict(toys.examples(), verbose=0)
  for strategy in ("always_open", "ensemble:2", "prune:0.5"):
    derived = pgates.with_strategy(
        model, strategy, execution="routed", validation_data=toys.batches()
    )
    derived(toys.examples())
  after = model.predict(toys.examples(), verbose=0)
  model.predict_function = None
  retraced = model.predict(toys.examples(), verbose=0)
  for name in before:
    np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_array_equal(retraced[name], before[name])


@pytest.mark.parametrize(
    "strategy",
    [
        "threshold:0.3",
        pytest.param("ensemble:2", marks=pytest.mark.slow),
        pytest.param("prune:0.5", marks=pytest.mark.slow),
    ],
)
def test_derived_model_evaluates_as_the_original_is_compiled(strategy):
  loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  model = toys.mixed_model(
      loss=loss,
      metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")],
      rate_loss=pgates.TargetRateLoss(0.5),
  )
  derived = pgates.with_strategy(
      model, strategy, validation_data=toys.batches()
  )
  pgates.seed_gates(model, 0)
  received = derived.evaluate(toys.batches(), verbose=0, return_dict=True)
  pgates.seed_gates(model, 0)
  outputs = derived.predict(toys.batches(), verbose=0)
  labels = np.arange(9) % toys.CLASSES
  logits = toys.log_softmax(outputs["logits"])
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


# Models of others.


@pytest.mark.slow
def test_plain_keras_model_takes_every_strategy():
  model = toys.mixed_model(cls=keras.Model)
  for strategy in ("map", "expected", "ensemble:2", "top_k:2", "budget:0.6"):
    derived = pgates.with_strategy(
        model, strategy, validation_data=toys.batches()
    )
    assert type(derived) is type(model)
    received = derived(toys.examples())
    if strategy in toys.RULES:
      toys.assert_outputs(
          received, toys.oracle(model, toys.examples(), strategy)
      )


@pytest.mark.parametrize(
    "rule, execution",
    parameters.slow_after(
        1,
        [
            ("map", "routed"),
            ("prune:0.5", "masked"),
            ("map", "masked"),
            ("expected", "routed"),
            ("ensemble:2", "masked"),
        ],
    ),
)
def test_blocks_of_a_nested_model_obey_too(rule, execution):
  flat, nested = toys.nested_model(
      [toys.dependent(0), toys.dependent(1), toys.independent(0.4)]
  )
  outputs = []
  for model in (flat, nested):
    derived = pgates.with_strategy(
        model, rule, execution=execution, validation_data=toys.batches()
    )
    pgates.seed_gates(model, 3)
    outputs.append(derived(toys.examples()))
  toys.assert_outputs(outputs[1], outputs[0])


# Flags, and what is refused, which leaves a model as it was.


@pytest.fixture(name="untouched", scope="module")
def fixture_untouched():
  return toys.mixed_model()


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
        ("settled", ("settled", 0.0)),
        ("settled:0.1", ("settled", 0.1)),
        ("settled:threshold:0.3", ("settled", 0.0)),
        ("settled:0.5:budget:0.6", ("settled", 0.5)),
    ],
)
def test_flag_form_is_parsed(text, expected):
  strategy = pgates.parse_strategy(text)
  assert (strategy.name, strategy.argument) == expected
  assert pgates.parse_strategy(str(strategy)) == strategy
  assert pgates.parse_strategy(strategy) is strategy
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
        "settled:0.51",
        "settled:-0.1",
        "settled:nan",
        "settled:0.1:sampled",
        "settled:expected",
        "settled:0.1:threshold",
        "settled:budget:2",
        3,
    ],
)
def test_malformed_strategy_is_refused(text, untouched):
  with pytest.raises(ValueError, match="Expected|Give the threshold"):
    pgates.parse_strategy(text)
  with pytest.raises(ValueError, match="Expected|Give the threshold"):
    pgates.with_strategy(untouched, text, validation_data=toys.batches())


@pytest.mark.parametrize("text", ["map", "sampled", "ensemble:2", "budget:0.5"])
def test_unknown_execution_is_refused(text, untouched):
  with pytest.raises(ValueError, match="execution.*'skipped'"):
    pgates.with_strategy(
        untouched,
        text,
        execution="skipped",
        validation_data=toys.batches(),
    )


@pytest.mark.parametrize(
    "strategy", ["prune:0.5", "top_k:1", "budget:0.5", "settled"]
)
def test_measuring_without_data_is_refused(strategy, untouched):
  with pytest.raises(ValueError, match=f"'{strategy}'.*validation_data"):
    pgates.with_strategy(untouched, strategy)


def test_model_that_is_not_functional_is_refused():
  class Subclass(keras.Model):

    def call(self, x):
      return x

  with pytest.raises(ValueError, match="functional"):
    pgates.with_strategy(Subclass(), "map")


# Files and replicas.


@pytest.mark.parametrize(
    "strategy, execution",
    parameters.slow_after(
        2,
        [
            ("threshold:0.3", "masked"),
            ("prune:0.5", "masked"),
            ("settled:0.2", "routed"),
            ("map", "routed"),
            ("expected", "routed"),
            ("always_open", "masked"),
            ("budget:0.6", "routed"),
        ],
    ),
)
def test_derived_model_survives_a_keras_file(strategy, execution, tmp_path):
  derived = pgates.with_strategy(
      toys.mixed_model(),
      strategy,
      execution=execution,
      validation_data=toys.batches(),
  )
  derived.save(tmp_path / "model.keras")
  loaded = keras.models.load_model(tmp_path / "model.keras")
  toys.assert_outputs(
      loaded(toys.examples(30)), derived(toys.examples(30)), atol=1e-6
  )


@pytest.mark.parametrize(
    "strategy", ["sampled", pytest.param("budget:0.6", marks=pytest.mark.slow)]
)
def test_two_replicas_evaluate_as_one(strategy):
  # The last batch, of one example, leaves a replica empty.
  data = toys.batches(9, 4)

  def evaluate():
    model = toys.mixed_model()
    derived = pgates.with_strategy(model, strategy, validation_data=data)
    pgates.seed_gates(model, 1)
    return derived.evaluate(data, verbose=0, return_dict=True)

  with training_runs.eagerly():
    expected = evaluate()
    with toys.two_replicas().scope():
      received = evaluate()
  assert received == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("strategy", ["map", "ensemble:2"])
@pytest.mark.parametrize("execution", ["masked", "routed"])
@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_routed_is_not_compiled_by_xla(
    strategy, execution, compiled, monkeypatch
):
  # As where Keras finds a GPU.
  monkeypatch.setattr(
      pgates.GatedModel, "_resolve_auto_jit_compile", lambda self: True
  )
  model = toys.mixed_model()
  if not compiled:
    model = pgates.GatedModel(model.input, model.output)
  for derived in (
      pgates.with_strategy(model, strategy, execution=execution),
      pgates.with_threshold_input(model, execution=execution),
  ):
    assert derived.jit_compile == (execution == "masked")


@pytest.mark.slow
def test_model_of_a_scope_may_be_derived_outside_of_it():
  expected = toys.oracle(toys.mixed_model(), toys.examples(9), "map")
  with toys.two_replicas().scope():
    model = toys.mixed_model()
  derived = pgates.with_strategy(model, "map", execution="routed")
  assert derived.distribute_strategy is model.distribute_strategy
  received = derived.predict(toys.batches(9, 4), verbose=0)
  np.testing.assert_array_equal(received["gates"], expected["gates"])


def test_what_follows_from_a_strategy():
  found = {}
  for text in pgates.STRATEGY_EXAMPLES:
    strategy = pgates.parse_strategy(text)
    assert str(strategy) == text
    found[strategy.name] = (
        strategy.is_random,
        strategy.needs_data,
        strategy.is_fixed,
        strategy.decides_per_input,
        strategy.can_be_fixed,
        strategy.threshold,
        strategy.statistics_rule,
    )
  assert found == {
      "map": (False, False, False, True, True, 0.5, "map"),
      "threshold": (False, False, False, True, True, 0.3, "threshold:0.3"),
      "sampled": (True, False, False, True, False, None, "sampled"),
      "expected": (False, False, False, False, False, None, "expected"),
      "always_open": (False, False, False, False, True, None, "always_open"),
      "ensemble": (True, False, False, True, False, None, "sampled"),
      "prune": (False, True, True, False, True, None, None),
      "top_k": (False, True, True, False, True, None, None),
      "budget": (False, True, False, True, False, None, "map"),
      "settled": (False, True, False, True, False, 0.5, "map"),
  }


@pytest.mark.parametrize(
    "strategy",
    parameters.slow_after(1, ["prune:0.5", "map", "threshold:0.5"]),
)
def test_one_half_means_the_same_in_every_fixed_network(strategy):
  """Of 4 examples, gates open for 0 to 4: half of them is enough."""
  model = toys.make_model([toys.dependent(i) for i in range(4)])
  data = toys.batches(4)
  rates, _ = pgates.measure_gates(model, data)
  fixed = pgates.parse_strategy(strategy).fix(model, data)
  assert kept_blocks(fixed) == (rates >= 0.5).tolist()


@pytest.mark.parametrize("strategy", ["sampled", "ensemble:2", "budget:0.5"])
def test_what_no_fixed_network_does_is_refused(strategy, untouched):
  with pytest.raises(ValueError, match=f"No network.*{strategy}"):
    pgates.parse_strategy(strategy).fix(untouched, toys.batches())


@pytest.mark.parametrize(
    "strategy",
    parameters.slow_but(
        ["budget:0.5", "prune:0.5"],
        ["budget:0.5", "prune:0.5", "top_k:1", "settled", "settled:budget:0.6"],
    ),
)
def test_validation_data_without_examples_or_of_nan_are_refused(
    strategy, untouched
):
  with pytest.raises(ValueError, match="no example that can be read"):
    pgates.with_strategy(
        untouched, strategy, validation_data=toys.batches().take(0)
    )
  nan = toys.batches().map(lambda x, *rest: (x * np.nan, *rest))
  with pytest.raises(ValueError, match="gates of .* are NaN"):
    pgates.with_strategy(untouched, strategy, validation_data=nan)


def test_every_strategy_has_a_line_in_the_table():
  for name in pgates.STRATEGIES:
    assert f"| `{name}" in strategies.__doc__
