"""Tests of `trainers.training.restoring`, of workers that are threads."""

import threading

import pytest

from tests.helpers import training_runs
from trainers.training import distribution
from trainers.training import restoring
from trainers.training import run_checkpoints

Position = run_checkpoints.Position


class Workers:
  """Sums over threads, in place of a cluster's collectives."""

  def __init__(self, count):
    self.count = count
    self._barrier = threading.Barrier(count, timeout=60)
    self._numbers = [0] * count
    self._local = threading.local()

  def total(self, number):
    self._numbers[self._local.index] = int(number)
    self._barrier.wait()
    found = sum(self._numbers)
    self._barrier.wait()
    return found

  def is_chief(self):
    return not self._local.index

  def run(self, functions):
    """What each returned, or raised."""
    results = [None] * self.count

    def run(index):
      self._local.index = index
      try:
        results[index] = functions[index]()
      except Exception as error:
        results[index] = error

    threads = [
        threading.Thread(target=run, args=(i,)) for i in range(self.count)
    ]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    return results


@pytest.fixture(name="workers")
def _workers(monkeypatch):
  workers = Workers(3)
  for name, value in {
      "sum_over_workers": lambda strategy: workers.total,
      "num_workers": lambda strategy: workers.count,
      "is_chief": lambda strategy: workers.is_chief(),
  }.items():
    monkeypatch.setattr(distribution, name, value)
  monkeypatch.setattr(run_checkpoints, "_PATIENCE_SECONDS", 1.0)
  return workers


def _folder(path, *, scale=1.0):
  """A folder of two checkpoints, whose weights are so many times those."""
  model = training_runs.small_model()
  checkpoints = run_checkpoints.RunCheckpoints(path, model, steps_per_epoch=4)
  for variable in model.trainable_variables:
    variable.assign(scale * (variable + 1))
  for position in (Position(0, 2), Position(1, 0)):
    checkpoints.save(position)
  return path


def _restores(folders):
  """A function for each worker, and their models."""
  models = [training_runs.small_model() for _ in folders]
  checkpoints = [
      run_checkpoints.RunCheckpoints(
          folder, model, steps_per_epoch=4, writes=index == 0
      )
      for index, (folder, model) in enumerate(zip(folders, models, strict=True))
  ]
  return [
      lambda each=each, model=model: restoring.restore(each, model)
      for each, model in zip(checkpoints, models, strict=True)
  ], models


def test_all_workers_take_the_checkpoint_of_the_first(workers, tmp_path):
  folder = _folder(tmp_path / "shared")
  # As a kill between the two renames leaves it: the first worker cleans up.
  writing = folder / ".writing-x"
  writing.mkdir()
  newest = folder / "step-000000004"
  newest.rename(writing / "whole")
  (writing / "replaced").mkdir()
  functions, models = _restores([folder] * 3)
  assert workers.run(functions) == [Position(1, 0)] * 3
  weights = [model.get_weights() for model in models]
  for mine, *others in zip(*weights, strict=True):
    assert all((mine == other).all() for other in others)


def test_a_run_may_begin(workers, tmp_path):
  functions, _ = _restores([tmp_path / "new"] * 3)
  assert workers.run(functions) == [Position()] * 3


def test_checkpoints_that_a_worker_does_not_have_are_refused_by_all(
    workers, tmp_path
):
  folder = _folder(tmp_path / "shared")
  functions, _ = _restores([folder, tmp_path / "local", folder])
  first, second, third = map(str, workers.run(functions))
  assert "There is no" in second and "step-000000004 here" in second
  assert "Another worker does not have the checkpoint" in first
  assert first == third
  for message in (first, second):
    assert "need the same --workdir, on a disk that they share" in message


@pytest.mark.slow
def test_other_weights_under_the_same_name_are_refused_by_all(
    workers, tmp_path
):
  folders = [_folder(tmp_path / str(i), scale=1 + (i == 1)) for i in range(3)]
  functions, _ = _restores(folders)
  for error in workers.run(functions):
    assert isinstance(error, ValueError)
    assert "have read other weights" in str(error)
