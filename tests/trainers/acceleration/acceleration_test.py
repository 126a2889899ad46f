"""Tests of `trainers.acceleration.acceleration`."""

import pytest

from file_io import artifacts
from tests.helpers import accelerations
from trainers.acceleration import acceleration

TARGETS = (0.4, 0.8, 0.6)
ACCURACIES = {"given": 0.9, "rate_0.8": 0.9, "rate_0.6": 0.895, "rate_0.4": 0.8}
TIMES = {"given": 1.0, "rate_0.8": 0.9, "rate_0.6": 0.7, "rate_0.4": 0.5}


def _accelerate(folder, programs, *, drop=1.0, lines=None, **options):
  limit = options.pop("time_limit", None)
  return acceleration.accelerate(
      accelerations.settings(**options.pop("settings", {})),
      options.pop("targets", TARGETS),
      folder,
      acceleration.Bounds(drop, limit),
      programs,
      echo=(lines if lines is not None else []).append,
      **options,
  )


def _programs(accuracies=ACCURACIES, times=TIMES, **options):
  return accelerations.Programs(accuracies, times, **options)


def _chosen(rows):
  return {row.format: row.network for row in rows if row.chosen}


def _trained(programs):
  return [
      next(a for a in arguments if a.startswith("--workdir=")).split("/")[-1]
      for module, arguments in programs.calls
      if module == "trainers.train"
  ]


def test_targets_are_tried_down_to_the_first_that_loses_too_much(tmp_path):
  programs, lines = _programs(), []
  rows = _accelerate(tmp_path, programs, lines=lines)
  assert _trained(programs) == ["given", "rate_0.8", "rate_0.6", "rate_0.4"]
  exported = [m for m, _ in programs.calls].count("export.export_model")
  assert exported == 3  # Not of 0.4.
  assert _chosen(rows) == dict.fromkeys(("saved_model", "tflite"), "rate_0.6")
  assert "As given: 90.00 % of the validation images. At least 89.00 %" in (
      "".join(lines)
  )


def test_what_is_chosen_lies_where_it_is_looked_for(tmp_path):
  _accelerate(tmp_path, _programs())
  served = tmp_path / "model" / "1" / "saved_model.pb"
  assert served.read_text() == "rate_0.6"
  assert (tmp_path / "model.tflite").read_text() == "rate_0.6"
  assert (tmp_path / "report.html").exists()
  kept, *_ = artifacts.read_json(tmp_path / "accelerated.json")["rows"]
  assert kept["network"] == "given" and kept["times"] == {"1": 1.0, "8": 1.0}
  left = {path.name for path in tmp_path.iterdir()}
  assert not {name for name in left if name.startswith(".")}


def test_export_may_lose_what_is_left_of_the_drop(tmp_path):
  programs = _programs()
  _accelerate(tmp_path, programs)
  for name, drop in (("rate_0.8", 1.0), ("rate_0.6", 0.5)):
    arguments = accelerations.arguments_of(
        programs, "export.export_model", f"{name}/exported"
    )
    assert f"--max_accuracy_drop={drop:g}" in arguments
    assert f"--reference={tmp_path}/given" in arguments


def test_no_more_may_be_lost_than_there_is(tmp_path):
  programs, lines = _programs(ACCURACIES | {"rate_0.8": 0.95}), []
  _accelerate(tmp_path, programs, drop=100, targets=[0.8], lines=lines)
  arguments = accelerations.arguments_of(
      programs, "export.export_model", "rate_0.8/exported"
  )
  # The program takes no more than 100.
  assert "--max_accuracy_drop=95" in arguments
  assert "At least 0.00 % are kept." in "".join(lines)


def test_nothing_is_exported_where_nothing_is_faster(tmp_path):
  times = TIMES | {"rate_0.8": 0.98, "rate_0.6": 1.1}
  rows = _accelerate(tmp_path, _programs(times=times))
  assert _chosen(rows) == dict.fromkeys(("saved_model", "tflite"), "given")
  for name in ("model", "model.tflite", "report.html"):
    assert not (tmp_path / name).exists()
  assert (tmp_path / "accelerated.json").exists()


def test_same_call_takes_no_step_twice(tmp_path):
  fails = _programs(fails="export.time_exports")
  with pytest.raises(Exception, match="export.time_exports"):
    _accelerate(tmp_path, fails)
  rest = _programs()
  rows = _accelerate(tmp_path, rest)
  modules = [module for module, _ in rest.calls]
  assert modules == [
      "export.time_exports",
      *["trainers.evaluate"] * 2,
      "trainers.report",
  ]
  again = _programs()
  assert _accelerate(tmp_path, again) == rows
  assert not again.calls


def test_another_recipe_is_refused(tmp_path):
  _accelerate(tmp_path, _programs())
  for options, message in (
      ({"settings": {"epochs": 3}}, "epochs: 2 there, 3 here"),
      ({"drop": 2.0}, "max_accuracy_drop: 1.0 there, 2.0 here"),
      ({"targets": (0.5,)}, "targets: .*0.4, 0.8, 0.6.* there"),
  ):
    with pytest.raises(ValueError, match=message):
      _accelerate(tmp_path, _programs(), **options)


def test_no_target_is_begun_that_would_not_end_in_time(tmp_path):
  programs, lines, now = _programs(), [], [0.0]

  def clock():
    now[0] += 10.0  # So each target takes 10 s, after 10 s of the given one.
    return now[0]

  _accelerate(tmp_path, programs, lines=lines, time_limit=25.0, clock=clock)
  assert _trained(programs) == ["given", "rate_0.8"]
  assert any(line.startswith("There is no time") for line in lines)
