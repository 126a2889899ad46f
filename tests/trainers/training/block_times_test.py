"""Tests of trainers/training/block_times.py."""

import json

import pytest

import pgates
from tests.helpers import toys
from trainers.training import block_times


@pytest.fixture(name="measured")
def _measured(monkeypatch):
  """Replaces the measurement; what it finds is different each time."""
  calls = []

  def branch_times(model):
    calls.append(model)
    return [0.5 * len(calls), 0.25]

  monkeypatch.setattr(pgates, "branch_times", branch_times)
  return calls


def _model(num_blocks=2):
  return toys.make_model([toys.independent(0.4) for _ in range(num_blocks)])


def test_what_a_run_began_with_stays(measured, tmp_path):
  model = _model()
  assert block_times.of_run(model, tmp_path, begins=True) == [0.5, 0.25]
  # A run that stopped before its first checkpoint begins a second time.
  for begins in (True, False):
    assert block_times.of_run(model, tmp_path, begins=begins) == [0.5, 0.25]
  assert measured == [model]
  value = json.loads((tmp_path / block_times.NAME).read_text())
  names = [block.name for block in pgates.gated_calls(model)]
  assert [block["name"] for block in value["blocks"]] == names
  assert value["batch_size"] == 1


def test_a_run_that_is_not_kept_writes_nothing(measured, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert block_times.of_run(_model(), None, begins=True) == [0.5, 0.25]
  assert len(measured) == 1
  assert not list(tmp_path.iterdir())


def test_lost_times_are_not_measured_anew(measured, tmp_path):
  with pytest.raises(ValueError, match="holds checkpoints but no block_times"):
    block_times.of_run(_model(), tmp_path, begins=False)
  assert not measured


def test_times_of_another_network_are_refused(measured, tmp_path):
  block_times.of_run(_model(), tmp_path, begins=True)
  with pytest.raises(ValueError, match="not of this network"):
    block_times.of_run(_model(3), tmp_path, begins=True)
  assert len(measured) == 1
