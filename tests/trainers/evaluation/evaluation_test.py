"""Tests of `trainers.evaluation`, on gates that differ between examples."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters
from tests.helpers import training_runs
from trainers.evaluation import evaluation

pytestmark = pytest.mark.usefixtures("eagerly")

_NUM_TEST = 60


@pytest.fixture(scope="module")
def model():
  """A network whose gates open for about half of the examples."""
  keras.utils.set_random_seed(2)
  model = training_runs.dense_network(training_runs.config())
  generator = np.random.default_rng(0)
  for block in pgates.gated_blocks(model):
    kernel = block.gate.logit.kernel
    kernel.assign(generator.normal(scale=2.0, size=kernel.shape))
    block.gate.logit.bias.assign([0.0])
  return model


def _batches(seed, num_examples, brightest):
  generator = np.random.default_rng(seed)
  images = generator.uniform(0, brightest, (num_examples, 8, 8, 1))
  labels = generator.integers(10, size=num_examples)
  pair = (images.astype(np.float32), labels)
  return tf.data.Dataset.from_tensor_slices(pair).batch(25)


@pytest.fixture(scope="module")
def batches():
  """Test images are darker: measured on them, decisions would be others."""
  return evaluation.Batches(
      test=_batches(1, _NUM_TEST, 100),
      validation=_batches(2, 80, 1000),
      train=_batches(3, 75, 400),
  )


def _evaluate(model, strategy, batches, **kwargs):
  strategies = evaluation.parse([strategy])
  found = dict(evaluation.evaluate(model, strategies, batches, **kwargs))
  assert list(found) == [strategy]
  return found[strategy]


def _test_data(batches):
  images, labels = zip(*batches.test.as_numpy_iterator(), strict=True)
  return np.concatenate(images), np.concatenate(labels)


def _predict(decided, batches):
  """Predicted batch by batch, as gates draw noise for each batch."""
  outputs = [decided.predict_on_batch(x) for x, _ in batches.test]
  return {k: np.concatenate([o[k] for o in outputs]) for k in outputs[0]}


def _recomputed(model, outputs, labels):
  """The result that belongs to outputs of one pass, in NumPy."""
  logits, gates = outputs["logits"], outputs["gates"]
  top5 = np.argsort(-logits, axis=-1)[:, :5]
  macs = model.macs
  return {
      "accuracy": np.mean(logits.argmax(-1) == labels),
      "top5_accuracy": np.mean(np.any(top5 == labels[:, None], axis=1)),
      "open_rate": gates.mean(),
      "macs": np.mean(macs.always + gates @ np.array(macs.branches)),
      "gate_patterns": len({tuple(row) for row in gates}),
      "gate_open_rates": gates.mean(axis=0),
      "parameters": model.count_params(),
  }


def _assert_result(actual, expected):
  assert actual.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(actual[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "strategy, execution",
    parameters.slow_but(
        [("map", "masked"), ("threshold:0.3", "routed")],
        itertools.product(
            ["map", "threshold:0.3", "always_open"], ["masked", "routed"]
        ),
    ),
)
def test_result_is_that_of_the_predictions(model, batches, strategy, execution):
  images, labels = _test_data(batches)
  decided = pgates.with_strategy(model, strategy)
  outputs = decided.predict(images, verbose=0)
  expected = _recomputed(model, outputs, labels)
  # Else, strategies could not be told apart.
  assert (expected["open_rate"] < 0.98) == (strategy != "always_open")
  actual = _evaluate(model, strategy, batches, execution=execution)
  _assert_result(actual, expected)


def test_sampled_result_is_the_mean_over_five_seeds(model, batches):
  decided = pgates.with_strategy(model, "sampled")
  _, labels = _test_data(batches)
  runs = []
  for seed in range(5):
    pgates.seed_gates(decided, seed)
    runs.append(_recomputed(model, _predict(decided, batches), labels))
  expected = {k: np.mean([r[k] for r in runs], axis=0) for k in runs[0]}
  accuracies = [run["accuracy"] for run in runs]
  expected["accuracy_std"] = np.std(accuracies, ddof=1)
  assert expected["accuracy_std"] > 0
  _assert_result(_evaluate(model, "sampled", batches), expected)


@pytest.mark.slow
def test_ensemble_pays_for_every_pass(model, batches):
  decided = pgates.with_strategy(model, "ensemble:3")
  _, labels = _test_data(batches)
  runs = []
  for seed in range(5):
    pgates.seed_gates(decided, seed)
    outputs = _predict(decided, batches)
    passes = outputs["gates"].reshape(_NUM_TEST, 3, 2)
    macs = model.macs.always + passes @ np.array(model.macs.branches)
    runs.append(
        {
            "accuracy": np.mean(outputs["logits"].argmax(-1) == labels),
            "vote_accuracy": np.mean(outputs["votes"].argmax(-1) == labels),
            "macs": macs.sum(axis=1).mean(),
            "open_rate": passes.mean(),
            "gate_open_rates": passes.mean(axis=(0, 1)),
        }
    )
  actual = _evaluate(model, "ensemble:3", batches)
  for name in runs[0]:
    expected = np.mean([run[name] for run in runs], axis=0)
    np.testing.assert_allclose(actual[name], expected, rtol=1e-6, err_msg=name)
  assert actual["macs"] > 3 * model.macs.always


@pytest.mark.usefixtures("traced")
def test_threshold_of_a_budget_is_found_on_validation_data(model, batches):
  result = _evaluate(model, "budget:0.9", batches)
  expected = pgates.budget_threshold(model, 0.9, batches.validation)
  assert result["threshold"] == expected
  assert expected != pgates.budget_threshold(model, 0.9, batches.test)
  del result["threshold"]
  same = _evaluate(model, f"threshold:{expected}", batches)
  _assert_result(result, same)


def test_pruned_blocks_are_chosen_on_validation_data(model, batches):
  on_validation, _ = pgates.measure_gates(model, batches.validation)
  on_test, _ = pgates.measure_gates(model, batches.test)
  block = int(np.argmax(np.abs(on_validation - on_test)))
  between = (on_validation[block] + on_test[block]) / 2
  result = _evaluate(model, f"prune:{between}", batches)
  opened = (on_validation >= between).astype(float)
  assert result["gate_open_rates"] == opened.tolist()
  assert opened.tolist() != (on_test >= between).tolist()
  branches = np.array(model.macs.branches)
  # A pruned block has lost its gate, and so has one that is always open.
  assert result["macs"] == model.macs.fixed + opened @ branches
  assert result["parameters"] < model.count_params()


def test_top_blocks_are_those_open_most_often(model, batches):
  rates, _ = pgates.measure_gates(model, batches.validation)
  result = _evaluate(model, "top_k:1", batches)
  assert result["gate_open_rates"] == np.eye(2)[np.argmax(rates)].tolist()
  assert result["gate_patterns"] == 1


@pytest.mark.slow
def test_result_stands_under_the_text_that_was_given(model, batches):
  strategies = evaluation.parse(["threshold:.30", "threshold:0.3"])
  results = dict(evaluation.evaluate(model, strategies, batches))
  assert list(results) == ["threshold:.30", "threshold:0.3"]
  _assert_result(*results.values())


def _state(model):
  return [np.asarray(variable).tolist() for variable in model.variables]


@pytest.mark.parametrize(
    "strategy",
    [
        "map",
        pytest.param("sampled", marks=pytest.mark.slow),
        pytest.param("ensemble:2", marks=pytest.mark.slow),
        pytest.param("budget:0.9", marks=pytest.mark.slow),
        pytest.param("top_k:1", marks=pytest.mark.slow),
    ],
)
def test_model_is_afterwards_as_it_was(model, batches, strategy):
  before = _state(model)
  _evaluate(model, strategy, batches, num_batches=2)
  assert _state(model) == before


def test_model_is_as_it_was_when_an_evaluation_ends_early(model, batches):
  before = _state(model)
  strategies = evaluation.parse(["map"])
  results = evaluation.evaluate(model, strategies, batches, num_batches=2)
  next(results)
  assert _state(model) != before
  results.close()
  assert _state(model) == before
  with pytest.raises(ValueError, match="ended after 3 batches"):
    _evaluate(model, "map", batches, num_batches=4)
  assert _state(model) == before


@pytest.mark.parametrize(
    "strategy, rule",
    [
        ("map", "map"),
        pytest.param("always_open", "always_open", marks=pytest.mark.slow),
    ],
)
def test_statistics_are_estimated_anew_under_each_strategy(
    model, batches, strategy, rule
):
  plain = _evaluate(model, strategy, batches)
  # What an evaluation before leaves behind would show.
  strategies = evaluation.parse(["threshold:0.9", strategy])
  found = dict(evaluation.evaluate(model, strategies, batches, num_batches=3))
  _, labels = _test_data(batches)
  with evaluation._state_kept(model):
    pgates.reestimate_batch_norm(model, batches.train, 3, strategy=rule)
    outputs = _predict(pgates.with_strategy(model, strategy), batches)
  expected = _recomputed(model, outputs, labels)
  _assert_result(found[strategy], expected)
  assert found[strategy] != plain


def test_all_strategies_are_those_that_a_network_has():
  networks = {
      kind: training_runs.dense_network(training_runs.config(f"--gate={kind}"))
      for kind in ("dependent", "stochastic_depth", "none")
  }
  names = {k: [*evaluation.all_strategies(m)] for k, m in networks.items()}
  rules = ["map", "threshold:0.3", "sampled", "ensemble:5", "expected"]
  rules.append("always_open")
  measured = ["budget:0.7", "prune:0.5", "top_k:1", "settled"]
  assert names["dependent"] == [*rules, *measured]
  assert names["stochastic_depth"] == rules
  assert names["none"] == ["always_open"]


def test_evaluation_on_nothing_is_refused(model, batches):
  nothing = dataclasses.replace(batches, test=batches.test.take(0))
  with pytest.raises(ValueError, match="no example that can be read"):
    _evaluate(model, "map", nothing)


def test_summary_tells_the_collapse_under_map(model, batches):
  results = {
      "always_open": {"gate_open_rates": [1.0, 1.0]},
      "map": {"gate_open_rates": [0.5, 1.0]},
  }
  found = evaluation.summary(model, results)
  macs = model.macs
  assert found == {
      "parameters": model.count_params(),
      "dense_macs": macs.dense,
      "strategies": results,
      "gates": [
          {"name": "block0", "macs": macs.branches[0]},
          {"name": "block1", "macs": macs.branches[1]},
      ],
      "collapsed_share": 0.5,
      "open_rate_variance": 0.0625,
  }
  del results["map"]
  assert evaluation.summary(model, results)["collapsed_share"] == 1.0
