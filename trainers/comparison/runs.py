"""Runs the trials of a comparison, each in processes of its own."""

from collections.abc import Callable
from concurrent import futures
import os
import pathlib
import time
from typing import Any

from file_io import artifacts
from file_io import endings
from trainers import children
from trainers.comparison import trials as trials_lib
from trainers.settings import records


class ComparisonRuns:
  """Runs what is not finished yet of a comparison.

  Args:
    trials: list of `trials_lib.Trial`.
    settings: dict of the recipe.
    workdir: of the comparison.
    num_recalibration_batches: to re-estimate batch-norm statistics on.
    num_jobs: runs at a time, which share the processor cores.
  """

  def __init__(
      self,
      trials: list[trials_lib.Trial],
      settings: dict[str, Any],
      workdir: str | os.PathLike,
      *,
      num_recalibration_batches: int,
      num_jobs: int = 1,
  ):
    self._trials = trials
    self._settings = settings
    self._workdir = pathlib.Path(workdir)
    self._num_batches = num_recalibration_batches
    self._num_jobs = num_jobs
    self._children = children.Children()
    self._environment = children.environment(num_jobs)

  def run(self, echo: Callable[[str], None] = print) -> None:
    """Runs everything that is missing; SIGTERM and SIGHUP request a stop.

    Args:
      echo: prints a line.

    Raises:
      ValueError: if the folder holds a comparison of another recipe.
      subprocess.CalledProcessError: if a run failed, when the others under way
        have saved; its log says why.
      children.Stopped: after `request_stop`.
    """
    self._continue_same_recipe()
    # All, or none: a setting that does not fit is found before any work.
    configs = {
        trial: trial.config(self._settings, self._workdir)
        for trial in self._trials
    }
    artifacts.write_json(self._workdir / "recipe.json", self._settings)
    missing = [
        trial
        for trial in self._trials
        if not trials_lib.is_finished(
            self._workdir, trial, num_recalibration_batches=self._num_batches
        )
    ]
    done = len(self._trials) - len(missing)
    echo(f"{done} of {len(self._trials)} runs are finished.")
    start = time.monotonic()
    with (
        endings.handling(lambda *_: self.request_stop()),
        futures.ThreadPoolExecutor(self._num_jobs) as pool,
    ):
      try:
        for number, trial in enumerate(
            self._finished(missing, configs, pool), 1
        ):
          left = (time.monotonic() - start) / number * (len(missing) - number)
          echo(
              f"[{done + number}/{len(self._trials)}] "
              f"{trial.name}, about {left / 60:.0f} min left"
          )
      except BaseException:
        self.request_stop()
        raise

  def _finished(self, missing, configs, pool):
    """Runs trials once what they need is there; yields each when it is done."""
    waiting, running = list(missing), {}
    while waiting or running:
      unfinished = {*waiting, *running.values()}
      ready = [t for t in waiting if not unfinished & {*t.sources.values()}]
      for trial in ready[: self._num_jobs - len(running)]:
        waiting.remove(trial)
        running[pool.submit(self._run_cell, trial, configs[trial])] = trial
      ended, _ = futures.wait(running, return_when=futures.FIRST_COMPLETED)
      for future in ended:
        future.result()
        yield running.pop(future)

  def request_stop(self) -> None:
    """Lets the runs under way save and end; no other is begun."""
    self._children.request_stop()

  def _continue_same_recipe(self):
    path = self._workdir / "recipe.json"
    if not path.exists():
      return
    theirs = artifacts.read_json(path, dict, writer="trainers.compare")
    self._settings = records.continued(self._settings, theirs)
    found = records.differences(self._settings, theirs)
    if found:
      raise ValueError(
          f"{self._workdir} holds a comparison of another recipe: "
          f"{'; '.join(found)}. Give the same flags to continue it, or another "
          "--workdir."
      )

  def _run_cell(self, trial, config):
    """Trains and evaluates."""
    folder = self._workdir / trial.name
    folder.mkdir(parents=True, exist_ok=True)
    place = [f"--workdir={folder}"]
    data = records.place_flags(config)
    if not (folder / "model.keras").exists():
      self._call("train", records.to_flags(config) + place, folder)
    strategies = f"--strategies={','.join(trial.strategies())}"
    curve = ["--threshold_curve"] * trial.learns_gates
    if trial.learns_gates:
      again = [
          f"--strategies={','.join(trials_lib.RECALIBRATED)}",
          f"--recalibrate_batch_norm={self._num_batches}",
          f"--output={trials_lib.RECALIBRATED_FILE}",
      ]
      self._call("evaluate", [*place, *data, *again], folder)
    answers = ["--predictions"] * trial.is_dense
    self._call(
        "evaluate", [*place, *data, strategies, *curve, *answers], folder
    )

  def _call(self, program, arguments, folder):
    """Runs a program of ours to its end."""
    with (folder / "log.txt").open("a") as log:
      self._children.call(
          f"trainers.{program}", arguments, log=log, env=self._environment
      )
