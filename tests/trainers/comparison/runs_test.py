"""Tests of `trainers.comparison.runs`."""

import dataclasses
import os
import pathlib
import signal
import subprocess
import threading
import time

import pytest

from file_io import artifacts
from tests.helpers import training_runs
from trainers import children
from trainers.comparison import runs as comparison_runs
from trainers.comparison import trials as trials_lib
from trainers.evaluation import predictions

CELLS = trials_lib.make_trials(
    ["ungated", "per_batch_dependent"], [0.4, 0.6], range(2)
)


class _Process:
  """In place of a training or an evaluation: writes its last file."""

  started = []
  failing = frozenset()  # Names of trials whose training fails.
  on_start = staticmethod(lambda process: None)

  def __init__(self, command, *, stdout, stderr, env):
    del stdout, stderr
    self.command = command
    self.program = command[2]
    self.arguments = dict(a[2:].split("=", 1) for a in command[3:] if "=" in a)
    self.folder = pathlib.Path(self.arguments["workdir"])
    self.environment = env
    self.terminated = False
    type(self).started.append(self)

  def wait(self):
    self.on_start(self)
    if self.terminated:
      return 143
    if self.program == "trainers.train":
      if f"{self.folder.parent.name}/{self.folder.name}" in self.failing:
        return 1
      (self.folder / "model.keras").touch()
      return 0
    name = self.arguments.get("output", "evaluation.json")
    batches = int(self.arguments.get("recalibrate_batch_norm", 0))
    artifacts.write_json(
        self.folder / name, {"recalibrate_batch_norm": batches}
    )
    if "--predictions" in self.command:
      (self.folder / predictions.NAME).touch()
    return 0

  def terminate(self):
    self.terminated = True


@pytest.fixture(name="processes", autouse=True)
def _processes(monkeypatch):
  monkeypatch.setattr(_Process, "started", [])
  monkeypatch.setattr(children.subprocess, "Popen", _Process)
  return _Process


def _recipe(*arguments):
  settings = dataclasses.asdict(training_runs.config(*arguments))
  del settings["target_rates"]
  return settings


def _runs(workdir, settings=None, *, batches=7, **options):
  return comparison_runs.ComparisonRuns(
      CELLS,
      settings or _recipe(),
      workdir,
      num_recalibration_batches=batches,
      **options,
  )


def _are_finished(workdir):
  return [
      trials_lib.is_finished(workdir, trial, num_recalibration_batches=7)
      for trial in CELLS
  ]


def _programs(processes):
  return [process.program for process in processes.started]


def test_every_cell_is_trained_and_evaluated_as_its_method_asks(
    tmp_path, processes
):
  lines = []
  _runs(tmp_path).run(echo=lines.append)
  assert all(_are_finished(tmp_path))
  of_ungated, of_gated = processes.started[:2], processes.started[2:5]
  assert _programs(processes).count("trainers.train") == 6
  train, evaluate = of_ungated
  assert train.arguments["gate"] == "none"
  assert train.arguments["workdir"] == str(tmp_path / "ungated" / "seed0")
  assert evaluate.arguments["strategies"] == "always_open"
  train, again, evaluate = of_gated
  assert train.arguments["target_rates"] == "0.4"
  assert train.arguments["rate_loss"] == "per_batch"
  assert again.arguments["recalibrate_batch_norm"] == "7"
  assert again.arguments["strategies"] == "map,prune:0.5"
  assert "--threshold_curve" in evaluate.command
  assert "ensemble:5" in evaluate.arguments["strategies"]
  assert lines[0] == "0 of 6 runs are finished."
  assert lines[-1] == ("[6/6] per_batch_dependent_0.6/seed1, about 0 min left")


def test_what_is_finished_is_not_run_again(tmp_path, processes):
  _runs(tmp_path).run(echo=lambda line: None)
  processes.started.clear()
  # One without its evaluation, one not even trained.
  first, second = (tmp_path / trial.name for trial in CELLS[1:3])
  (first / "evaluation.json").unlink()
  for path in second.iterdir():
    path.unlink()
  lines = []
  _runs(tmp_path).run(echo=lines.append)
  assert lines[0] == "4 of 6 runs are finished."
  ran = {
      (p.program.removeprefix("trainers."), p.folder) for p in processes.started
  }
  assert ran == {
      ("evaluate", first),
      ("train", second),
      ("evaluate", second),
  }


def test_statistics_of_other_batches_are_estimated_again(tmp_path, processes):
  _runs(tmp_path).run(echo=lambda line: None)
  processes.started.clear()
  _runs(tmp_path, batches=9).run(echo=lambda line: None)
  ran = [p.arguments.get("recalibrate_batch_norm") for p in processes.started]
  # Nothing is trained again; the ungated have none.
  assert _programs(processes) == ["trainers.evaluate"] * 8
  assert ran.count("9") == 4


def test_comparison_of_another_recipe_is_refused(tmp_path, processes):
  _runs(tmp_path, _recipe("--epochs=3")).run(echo=lambda line: None)
  processes.started.clear()
  with pytest.raises(ValueError, match="epochs: 3 there, 10 here"):
    _runs(tmp_path).run()
  assert not processes.started


def test_setting_that_does_not_fit_is_found_before_any_run(tmp_path, processes):
  with pytest.raises(ValueError, match="network must be"):
    _runs(tmp_path, {**_recipe(), "network": "resnet9"}).run()
  assert not processes.started and not list(tmp_path.iterdir())


def test_failed_run_ends_the_comparison_and_keeps_the_rest(
    tmp_path, processes, monkeypatch
):
  monkeypatch.setattr(processes, "failing", {CELLS[2].name})
  with pytest.raises(subprocess.CalledProcessError) as error:
    _runs(tmp_path).run(echo=lambda line: None)
  assert f"--workdir={tmp_path / CELLS[2].name}" in error.value.cmd
  finished = _are_finished(tmp_path)
  assert finished[:3] == [True, True, False]
  monkeypatch.setattr(processes, "failing", frozenset())
  _runs(tmp_path).run(echo=lambda line: None)
  assert all(_are_finished(tmp_path))


def test_stop_ends_the_run_under_way_and_begins_no_other(
    tmp_path, processes, monkeypatch
):
  runs = _runs(tmp_path)
  monkeypatch.setattr(
      processes, "on_start", staticmethod(lambda process: runs.request_stop())
  )
  with pytest.raises(children.Stopped):
    runs.run(echo=lambda line: None)
  (process,) = processes.started
  assert process.terminated


@pytest.mark.usefixtures("heeds_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_runs_under_way(
    tmp_path, processes, monkeypatch, number
):
  before = signal.getsignal(number)

  def send(process):
    os.kill(os.getpid(), number)
    end = time.monotonic() + 20
    while not process.terminated and time.monotonic() < end:
      time.sleep(0.01)

  monkeypatch.setattr(processes, "on_start", staticmethod(send))
  with pytest.raises(children.Stopped):
    _runs(tmp_path).run(echo=lambda line: None)
  (process,) = processes.started
  assert process.terminated
  assert signal.getsignal(number) == before


def test_jobs_run_side_by_side_and_share_the_cores(
    tmp_path, processes, monkeypatch
):
  # Passes only if two are under way at the same time.
  both = threading.Barrier(2, timeout=20)
  monkeypatch.setattr(
      processes, "on_start", staticmethod(lambda process: both.wait())
  )
  monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)))
  trials = CELLS[1:3]
  runs = comparison_runs.ComparisonRuns(
      trials, _recipe(), tmp_path, num_recalibration_batches=7, num_jobs=2
  )
  runs.run(echo=lambda line: None)
  for process in processes.started:
    assert process.environment["TF_NUM_INTRAOP_THREADS"] == "3"


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("warm_per_batch_dependent", "init_from"),
        ("distilled_cifar_resnet8", "distill_from"),
    ],
)
def test_a_run_waits_for_the_one_that_it_needs(
    tmp_path, processes, monkeypatch, method, setting
):
  trials = trials_lib.make_trials(["ungated", method], [0.4], [0])

  def on_start(process):
    source = process.arguments.get(setting)
    if source:
      assert pathlib.Path(source, "evaluation.json").exists()
    time.sleep(0.1)

  monkeypatch.setattr(processes, "on_start", staticmethod(on_start))
  runs = comparison_runs.ComparisonRuns(
      trials, _recipe(), tmp_path, num_recalibration_batches=7, num_jobs=2
  )
  runs.run(echo=lambda line: None)
  starts = [process.arguments.get(setting) for process in processes.started]
  assert starts.count(str(tmp_path / "ungated/seed0")) == 1


def test_no_job_waits_while_another_run_could_begin(
    tmp_path, processes, monkeypatch
):
  trials = trials_lib.make_trials(
      ["ungated", "ungated_longer", "stochastic_depth"], [0.4], [0]
  )
  both = threading.Barrier(2, timeout=10)

  def on_start(process):
    # The first two at a time: the one between needs the first.
    if not process.arguments.get("init_from") and process.program.endswith(
        "train"
    ):
      both.wait()

  monkeypatch.setattr(processes, "on_start", staticmethod(on_start))
  runs = comparison_runs.ComparisonRuns(
      trials, _recipe(), tmp_path, num_recalibration_batches=7, num_jobs=2
  )
  runs.run(echo=lambda line: None)
  assert not both.broken


def test_one_job_has_all_cores(tmp_path, processes):
  _runs(tmp_path).run(echo=lambda line: None)
  assert {process.environment for process in processes.started} == {None}
