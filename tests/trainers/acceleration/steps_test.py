"""Tests of `trainers.acceleration.steps`."""

import shlex
import threading
import time

import pytest

from file_io import locks
from tests.helpers import accelerations
from tests.helpers import training_runs
from trainers.acceleration import steps as steps_lib
from trainers.settings import config_from_flags


@pytest.fixture(name="taken")
def _taken(tmp_path):
  """Steps in a folder, the programs they ran, and the lines they said."""
  programs = accelerations.Programs(
      {"given": 0.9, "rate_0.5": 0.8}, {"given": 1.0, "rate_0.5": 0.6}
  )
  lines = []
  steps = steps_lib.Steps(
      accelerations.settings(input_scaling="unit"),
      tmp_path,
      programs,
      lines.append,
  )
  return steps, programs, lines


def _config(programs, name):
  arguments = accelerations.arguments_of(programs, "trainers.train", name)
  with training_runs.parsed(*arguments):
    return config_from_flags.make_config()


def test_given_network_is_kept_as_it_is(taken, tmp_path):
  steps, programs, _ = taken
  found = steps.given()
  assert found == steps_lib.Found(tmp_path / "given", 0.9)
  config = _config(programs, "given")
  assert (config.epochs, config.gate, config.target_rates) == (0, "none", [1.0])
  assert config.network == "file:/my.keras" and config.input_scaling == "unit"
  modules = [module for module, _ in programs.calls]
  assert modules == [
      *("trainers.train", "trainers.evaluate", "export.export_model")
  ]


def test_gated_network_is_of_the_recipe_and_the_target(taken, tmp_path):
  steps, programs, _ = taken
  assert steps.gated(0.5) == steps_lib.Found(tmp_path / "rate_0.5", 0.8)
  config = _config(programs, "rate_0.5")
  assert (config.epochs, config.gate) == (2, "dependent")
  assert config.target_rates == [0.5]
  assert config.distill_from == str(tmp_path / "given")


@pytest.mark.parametrize(
    "settings, teacher",
    [
        ({"new_head": True}, None),
        ({"distill_weight": 0.0}, None),
        ({"distill_from": "/runs/large"}, "/runs/large"),
    ],
)
def test_given_network_does_not_teach_where_it_should_not(
    settings, teacher, tmp_path
):
  programs = accelerations.Programs({"rate_0.5": 0.8}, {"rate_0.5": 0.6})
  steps = steps_lib.Steps(
      accelerations.settings(input_scaling="unit", **settings),
      tmp_path,
      programs,
      lambda line: None,
  )
  steps.gated(0.5)
  assert _config(programs, "rate_0.5").distill_from == teacher


def test_each_step_says_the_command_that_takes_it(taken):
  steps, programs, lines = taken
  found = [steps.given(), steps.gated(0.5)]
  steps.export(found[1], reference=found[0], max_drop=0.25)
  steps.times(found)
  steps.report(found[1], reference=found[0])
  said = [shlex.split(line.removeprefix("\n$ ")) for line in lines]
  ran = [["python", "-m", m, *arguments] for m, arguments in programs.calls]
  assert said == ran and len(said) == 10


def test_program_that_outlived_its_parent_is_waited_for(taken, tmp_path):
  """And what it leaves is taken for done."""
  steps, programs, lines = taken
  folder = tmp_path / "rate_0.5"
  held = threading.Event()

  def outlive():
    with locks.only_one(folder):
      held.set()
      while not any("is at work" in line for line in lines):
        time.sleep(0.01)
      (folder / "model.keras").write_bytes(b"")

  thread = threading.Thread(target=outlive, daemon=True)
  thread.start()
  held.wait()
  steps.gated(0.5)
  thread.join()
  assert [module for module, _ in programs.calls] == ["trainers.evaluate"]
  assert f"is at work in {folder}: waiting." in lines[0]
