"""Tests of `benchmarks.warm_recipes`."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import warm_recipes
from trainers.settings import config as config_lib
from trainers.settings import presets


@pytest.fixture(name="source")
def _source(tmp_path):
  folder = tmp_path / "runs" / "ungated_longer" / "seed3"
  folder.mkdir(parents=True)
  settings = dataclasses.asdict(config_lib.Config(gate="none", seed=3))
  (folder / "config.json").write_text(json.dumps({"settings": settings}))
  (folder / "model.keras").touch()
  (tmp_path / "runs" / "recipe.json").write_text("{}")
  return folder


@pytest.mark.parametrize("recipe", warm_recipes.RECIPES)
def test_a_recipe_differs_from_the_first_in_what_it_names(source, recipe):
  found = warm_recipes.configure(source, recipe, 12, 0.4)
  assert found.seed == 3
  assert found.gate == "dependent"
  assert found.init_from == str(source)
  assert found.target_rates == [0.4]
  assert found.epochs == 12
  first = warm_recipes.configure(source, warm_recipes.START, 12, 0.4)
  assert first.learning_rate == 0.003
  assert first.gate_learning_rate_multiplier == 10.0
  assert first.distill_from is None
  others = {
      name
      for name, value in dataclasses.asdict(first).items()
      if getattr(found, name) != value
  }
  name, _, value = recipe.partition(" ")
  if recipe == warm_recipes.START:
    assert not others
  elif recipe == warm_recipes.CHOSEN:
    assert others == {"gate_learning_rate_multiplier", "distill_from"}
  else:
    assert others == {name}
  if value == "a quarter":
    assert found.gate_warmup_epochs == 3.0
  elif name == "distill_from":
    assert found.distill_from == str(source)
  elif value:
    assert getattr(found, name) == float(value)


def test_the_chosen_recipe_is_the_preset_and_what_accelerate_adds(source):
  found = warm_recipes.configure(source, warm_recipes.CHOSEN, 12, 0.4)
  own = {"target_rates"}
  for name, value in presets.PRESETS["warm_start"].items():
    assert name in own or getattr(found, name) == value, name
  assert found.distill_from == found.init_from == str(source)


class _Process:
  """Of a trainer that writes a history, and a line to its log."""

  def __init__(self, accuracies):
    self.flags = []
    self._accuracies = accuracies

  def call(self, module, arguments, *, log, env):
    assert module == "trainers.train"
    assert env == {"A": "1"}
    self.flags.append(arguments)
    log.write("Out of luck.")
    log.flush()
    if self._accuracies is None:
      raise subprocess.CalledProcessError(1, [sys.executable])
    (workdir,) = (
        flag.removeprefix("--workdir=")
        for flag in arguments
        if flag.startswith("--workdir=")
    )
    pathlib.Path(workdir).mkdir()
    lines = [
        json.dumps(
            {
                "val_accuracy": accuracy,
                "val_open_rate": 0.5,
                "val_macs": 100.0,
                "accuracy": 0.99,
            }
        )
        for accuracy in self._accuracies
    ]
    (pathlib.Path(workdir) / "history.jsonl").write_text("\n".join(lines))


def test_figures_are_those_of_validation_after_the_last_epoch(source):
  config = warm_recipes.configure(source, warm_recipes.START, 2, 0.4)
  process = _Process([0.9, 0.75])
  found = warm_recipes.train(config, process, {"A": "1"})
  assert found == {"accuracy": 0.75, "open_rate": 0.5, "macs": 100.0}
  (flags,) = process.flags
  assert "--epochs=2" in flags
  assert "--target_rates=0.4" in flags


def test_what_a_failed_run_printed_is_shown(source, capsys):
  config = warm_recipes.configure(source, warm_recipes.START, 2, 0.4)
  with pytest.raises(subprocess.CalledProcessError):
    warm_recipes.train(config, _Process(None), {"A": "1"})
  assert "Out of luck." in capsys.readouterr().err


def _row(seed, recipe, accuracy, epochs=2):
  return {
      "seed": seed,
      "epochs": epochs,
      "recipe": recipe,
      "accuracy": accuracy,
      "open_rate": 0.5,
      "macs": 100.0,
  }


def test_recipes_are_held_against_the_first_seed_by_seed():
  other = "learning_rate 0.01"
  rows = [
      _row("seed1", other, 0.7),
      _row("seed0", other, 0.9),
      _row("seed0", warm_recipes.START, 0.8),
      _row("seed1", warm_recipes.START, 0.7),
      # Whose preset has not run yet.
      _row("seed2", other, 0.2),
      _row("seed0", other, 0.6, epochs=12),
  ]
  default, found, longer = warm_recipes.summarize(rows)
  assert (default["epochs"], default["recipe"]) == (2, warm_recipes.START)
  assert default["minus_start"]["mean"] == 0.0
  assert found["recipe"] == other
  assert found["accuracy"]["n"] == 3
  difference = found["minus_start"]
  assert difference["n"] == 2
  assert difference["mean"] == pytest.approx(0.05)
  # Student's t of one degree of freedom.
  half = 12.706205 * np.std([0.1, 0.0], ddof=1) / np.sqrt(2)
  assert difference["high"] == pytest.approx(0.05 + half)
  assert longer["epochs"] == 12
  assert "minus_start" not in longer
  header, _, *lines = warm_recipes.table([default, found])
  assert "accuracy" in header
  assert lines[0] == "| 2 | start | 2 | 75.00 |  | 50.0 |"
  assert lines[1].startswith(f"| 2 | {other} | 3 | 60.00 | +5.00 [")


class _Stopped:

  def __init__(self):
    self.requests = 0

  def request_stop(self):
    self.requests += 1


def test_what_is_known_is_not_run_again_and_a_failure_stops_the_rest(source):
  trials = [(source, count, warm_recipes.START) for count in (2, 5, 12)]
  asked, processes = [], _Stopped()

  def measure(folder, epochs, recipe):
    assert (folder, recipe) == (source, warm_recipes.START)
    asked.append(epochs)
    if epochs == 12:
      raise ValueError("Out of luck.")
    return {"accuracy": epochs / 10}

  found = []
  rows = warm_recipes.run(
      trials, [_row("seed3", warm_recipes.START, 0.5)], measure, processes, 1
  )
  with pytest.raises(ValueError, match="luck"):
    for row in rows:
      found.append(row)
  assert asked == [5, 12]
  assert processes.requests == 1
  assert found == [
      {
          "seed": "seed3",
          "epochs": 5,
          "recipe": warm_recipes.START,
          "accuracy": 0.5,
      }
  ]
