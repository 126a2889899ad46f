"""Tests of `trainers.comparison.trials`."""

import dataclasses

import pytest

from file_io import artifacts
from tests.helpers import training_runs
from trainers.comparison import trials as trials_lib
from trainers.evaluation import predictions

METHODS = trials_lib.USUAL_METHODS


def _recipe():
  settings = dataclasses.asdict(training_runs.config("--learning_rate=0.3"))
  del settings["target_rates"]
  return settings


def test_cells_are_every_method_target_and_seed_one_seed_after_the_other():
  trials = trials_lib.make_trials(METHODS, [0.4, 0.8], range(3))
  assert len(trials) == len(set(trials)) == 3 * (2 + 4 * 2)
  assert [trial.seed for trial in trials] == [0] * 10 + [1] * 10 + [2] * 10
  of_one = {(trial.method, trial.target_rate) for trial in trials[:10]}
  assert of_one == {
      ("ungated", None),
      ("stochastic_depth", None),
      *((m, target) for m in METHODS[2:] for target in (0.4, 0.8)),
  }
  assert len({trial.name for trial in trials}) == 30


@pytest.mark.parametrize(
    ("method", "gate", "rate_loss"),
    [
        ("per_layer_dependent", "dependent", "per_layer"),
        ("per_batch_dependent", "dependent", "per_batch"),
        ("per_layer_independent", "independent", "per_layer"),
        ("per_batch_independent", "independent", "per_batch"),
    ],
)
def test_cell_sets_gate_loss_target_and_seed_and_keeps_the_recipe(
    method, gate, rate_loss
):
  trial = trials_lib.Trial(method, 0.4, 3)
  assert trial.name == f"{method}_0.4/seed3"
  config = trial.config(_recipe(), "runs")
  assert (config.gate, config.rate_loss) == (gate, rate_loss)
  assert (config.target_rates, config.seed) == ([0.4], 3)
  assert config.learning_rate == 0.3


@pytest.mark.parametrize(
    ("method", "gate", "strategies"),
    [
        ("ungated", "none", {"always_open"}),
        (
            "stochastic_depth",
            "stochastic_depth",
            {"map", "sampled", "ensemble:5", "expected", "always_open"},
        ),
    ],
)
def test_methods_without_learned_gates_have_no_target(method, gate, strategies):
  (trial,) = trials_lib.make_trials([method], [0.4, 0.8], [1])
  assert trial.name == f"{method}/seed1"
  assert trial.config(_recipe(), "runs").gate == gate
  assert set(trial.strategies()) == strategies


@pytest.mark.parametrize(
    ("method", "gate", "strategies"),
    [
        ("ungated_longer", "none", {"always_open"}),
        ("warm_per_batch_dependent", "dependent", set(trials_lib.STRATEGIES)),
    ],
)
def test_methods_may_start_from_another_run_of_their_seed(
    method, gate, strategies, tmp_path
):
  *_, trial = trials_lib.make_trials(["ungated", method], [0.4], [2])
  config = trial.config(_recipe(), tmp_path)
  assert config.init_from == str(tmp_path / "ungated/seed2")
  assert config.gate == gate
  assert set(trial.strategies()) == strategies
  source = trial.sources["init_from"]
  assert source.config(_recipe(), tmp_path).init_from is None


@pytest.mark.parametrize(
    ("method", "starts"),
    [
        ("distilled_per_batch_dependent", True),
        ("distilled_cifar_resnet14", False),
    ],
)
def test_methods_may_learn_from_another_run_of_their_seed(
    method, starts, tmp_path
):
  *_, trial = trials_lib.make_trials(["ungated", method], [0.4], [2])
  config = trial.config(_recipe(), tmp_path)
  assert config.distill_from == str(tmp_path / "ungated/seed2")
  assert config.init_from == (config.distill_from if starts else None)
  assert trial.is_distilled and trial.is_dense != starts


@pytest.mark.parametrize("method", ["cifar_resnet8", "cifar_resnet32"])
def test_plain_networks_of_other_depths_are_methods(method):
  (trial,) = trials_lib.make_trials([method], [0.4], [0])
  config = trial.config(_recipe(), "runs")
  assert (config.network, config.gate) == (method, "none")
  assert trial.is_dense and not trial.is_distilled and method not in METHODS


def test_names_say_which_trial_it_is():
  methods = list(trials_lib.METHODS)
  for trial in trials_lib.make_trials(methods, [0.4, 0.75], [0, 12]):
    assert trials_lib.Trial.of_name(trial.name) == trial
  assert trials_lib.Trial.of_name("else_0.4/seed0") is None


def test_hard_concrete_gates_have_the_papers_temperature():
  (trial,) = trials_lib.make_trials(["hard_concrete"], [0.4], [0])
  config = trial.config(_recipe(), "runs")
  assert (config.gate, config.temperature) == ("hard_concrete", 2 / 3)
  assert trial.learns_gates and trial.method not in METHODS


@pytest.mark.parametrize(
    ("methods", "rates", "seeds", "message"),
    [
        (
            ["ungated", "aig"],
            [0.5],
            [0],
            "Unknown methods: aig. Known: ungated",
        ),
        (
            ["warm_per_batch_dependent", "ungated"],
            [0.5],
            [0],
            "needs the network of ungated, which must stand before it",
        ),
        (["ungated_longer"], [0.5], [0], "needs the network of ungated"),
        (["distilled_cifar_resnet8"], [0.5], [0], "the network of ungated"),
        (METHODS, [0.5, 1.5], [0], r"in \(0, 1\].*\[1.5\]"),
        (METHODS, [0.0], [0], r"in \(0, 1\]"),
        ([], [0.5], [0], "different methods"),
        (METHODS, [0.5, 0.5], [0], r"different target rates.*\[0.5, 0.5\]"),
    ],
)
def test_lists_that_do_not_fit_are_refused(methods, rates, seeds, message):
  with pytest.raises(ValueError, match=message):
    trials_lib.make_trials(methods, rates, seeds)


def _write_cell(folder):
  strategies = {
      "map": {"gate_open_rates": [1.0, 0.0], "accuracy": 0.9},
      "sampled": {"gate_open_rates": [0.99, 0.5], "accuracy": 0.8},
  }
  evaluation = {
      "parameters": 7,
      "dense_macs": 100,
      "gates": [{"name": "a", "macs": 1}, {"name": "b", "macs": 2}],
      "strategies": strategies,
      "threshold_curves": {"test": "t", "validation": "v"},
  }
  artifacts.write_json(folder / "evaluation.json", evaluation)
  artifacts.write_json(folder / "recalibrated.json", {"strategies": "again"})
  artifacts.write_json_lines(
      folder / "history.jsonl",
      [
          {"seconds_per_step": seconds, "seconds": 10.0, "open_rate": rate}
          for seconds, rate in [
              (9.0, 0.9),
              (1.0, 0.7),
              (2.0, 0.6),
              (3.0, 0.6),
              (None, 0.5),
          ]
      ],
  )
  return strategies


def test_results_of_a_cell_are_those_of_its_files(tmp_path):
  trial = trials_lib.Trial("per_batch_dependent", 0.4, 0)
  strategies = _write_cell(tmp_path / trial.name)
  assert trials_lib.read_trial(tmp_path, trial) == {
      "method": "per_batch_dependent",
      "target_rate": 0.4,
      "seed": 0,
      "folder": "per_batch_dependent_0.4/seed0",
      "parameters": 7,
      "dense_macs": 100,
      "blocks": ["a", "b"],
      "seconds_per_step": 1.0,
      "training_seconds": 50.0,
      "trained_open_rate": 0.5,
      "strategies": strategies,
      # As sampled: under MAP both gates would count.
      "collapsed_share": 0.5,
      "open_rate_variance": pytest.approx((0.49 / 2) ** 2),
      "recalibrated": "again",
      "curves": {"test": "t", "validation": "v"},
  }


def test_result_of_another_shape_is_named(tmp_path):
  trial = trials_lib.Trial("per_batch_dependent", 0.4, 0)
  folder = tmp_path / trial.name
  _write_cell(folder)
  (folder / "recalibrated.json").write_text("[]")
  message = r"recalibrated.json is no file of trainers.evaluate: it is \[\]"
  with pytest.raises(ValueError, match=message):
    trials_lib.is_finished(tmp_path, trial, num_recalibration_batches=7)
  with pytest.raises(ValueError, match=message):
    trials_lib.read_trial(tmp_path, trial)


def test_cell_is_finished_when_all_its_files_are_there(tmp_path):
  trial = trials_lib.Trial("per_batch_dependent", 0.4, 0)
  ungated = trials_lib.Trial("ungated", None, 0)
  options = {"num_recalibration_batches": 7}
  for name in ("recalibrated.json", "evaluation.json"):
    assert not trials_lib.is_finished(tmp_path, trial, **options)
    value = {"recalibrate_batch_norm": 7}
    artifacts.write_json(tmp_path / trial.name / name, value)
  assert trials_lib.is_finished(tmp_path, trial, **options)
  # On as many batches as are asked for.
  assert not trials_lib.is_finished(
      tmp_path, trial, num_recalibration_batches=8
  )
  assert not trials_lib.is_finished(tmp_path, ungated, **options)
  artifacts.write_json(tmp_path / ungated.name / "evaluation.json", {})
  assert not trials_lib.is_finished(tmp_path, ungated, **options)
  (tmp_path / ungated.name / predictions.NAME).touch()
  assert trials_lib.is_finished(tmp_path, ungated, **options)
