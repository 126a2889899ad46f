"""Tests of the program `trainers.compare`."""

import subprocess

from absl import app
import pytest

from file_io import artifacts
from tests.helpers import compared_runs
from tests.helpers import training_runs
from trainers import children
from trainers import compare
from trainers.comparison import runs as comparison_runs
from trainers.comparison import trials as trials_lib
from trainers.training import training


class _Runs:
  """In place of the runs of a comparison, which take hours."""

  made = None
  error = None

  def __init__(self, trials, settings, workdir, **options):
    self.trials, self.settings, self.options = trials, settings, options
    self.workdir = workdir
    type(self).made = self

  def run(self, echo):
    if self.error is not None:
      raise self.error
    artifacts.write_json(self.workdir / "recipe.json", self.settings)
    echo("2 runs are finished.")


@pytest.fixture(name="runs", autouse=True)
def _runs(monkeypatch):
  monkeypatch.setattr(comparison_runs, "ComparisonRuns", _Runs)
  monkeypatch.setattr(_Runs, "error", None)
  monkeypatch.setattr(_Runs, "made", None)
  results = {
      (r["method"], r["target_rate"], r["seed"]): r
      for r in compared_runs.results()
  }
  monkeypatch.setattr(
      trials_lib,
      "read_trial",
      lambda workdir, trial: results[
          trial.method, trial.target_rate, trial.seed
      ],
  )
  return _Runs


def _main(workdir, *arguments):
  with training_runs.parsed(f"--workdir={workdir}", *arguments):
    compare.main(["compare"])


def test_all_methods_targets_and_seeds_are_run_and_written(
    runs, tmp_path, capsys
):
  _main(
      tmp_path,
      *("--preset=digits", "--methods=ungated,per_batch_dependent"),
      *("--target_rates=0.4,0.6", "--seeds=2", "--jobs=3"),
      "--recalibration_batches=7",
  )
  made = runs.made
  assert [trial.name for trial in made.trials] == [
      f"{name}/seed{seed}"
      for seed in range(2)
      for name in (
          *("ungated", "per_batch_dependent_0.4", "per_batch_dependent_0.6"),
      )
  ]
  assert made.options == {"num_recalibration_batches": 7, "num_jobs": 3}
  assert made.settings["network"] == "cifar_resnet14"
  assert "target_rates" not in made.settings
  value = artifacts.read_json(tmp_path / "comparison.json")
  assert value["recipe"] == made.settings
  assert len(value["cells"]) == 6
  text = (tmp_path / "comparison.md").read_text()
  printed = capsys.readouterr().out
  assert text in printed and "2 runs are finished." in printed
  assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("argument", ["--gate=none", "--seed=3"])
def test_what_methods_and_seeds_decide_is_refused(argument, tmp_path):
  name = argument[2:].partition("=")[0]
  with pytest.raises(app.UsageError, match=f"--seeds decide: {name}"):
    _main(tmp_path, argument)


def test_results_that_cannot_be_written_are_refused_before_the_runs(
    runs, tmp_path
):
  (tmp_path / "comparison.md").mkdir()
  with pytest.raises(SystemExit, match="comparison.md is a folder.*--workdir"):
    _main(tmp_path)
  assert runs.made is None


def test_unknown_method_is_refused_in_one_line(runs, tmp_path):
  with pytest.raises(SystemExit, match="trainers.compare: Unknown methods: ma"):
    _main(tmp_path, "--methods=map")
  assert runs.made is None


def test_failed_run_names_its_log(monkeypatch, runs, tmp_path):
  command = ["python", f"--workdir={tmp_path}/ungated/seed0"]
  error = subprocess.CalledProcessError(1, command)
  monkeypatch.setattr(runs, "error", error)
  with pytest.raises(SystemExit, match="See .*/ungated/seed0/log.txt"):
    _main(tmp_path)


def test_stopped_comparison_ends_with_the_code_of_a_stopped_run(
    monkeypatch, runs, tmp_path, capsys
):
  monkeypatch.setattr(runs, "error", children.Stopped())
  with pytest.raises(SystemExit) as error:
    _main(tmp_path)
  assert error.value.code == training.STOPPED_EXIT_CODE
  assert "The same command continues" in capsys.readouterr().out


def test_interrupted_comparison_ends_in_one_line(
    monkeypatch, runs, tmp_path, capsys
):
  monkeypatch.setattr(runs, "error", KeyboardInterrupt())
  with pytest.raises(SystemExit) as error:
    _main(tmp_path)
  assert error.value.code == 130
  assert capsys.readouterr().err == (
      "trainers.compare: Ended by SIGINT. The same command continues the "
      "comparison.\n"
  )
