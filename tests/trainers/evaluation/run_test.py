"""Tests of `trainers.evaluation.run`; of the program, evaluate_test."""

import shutil

import pytest

from file_io import artifacts
from tests.helpers import compared_runs
from tests.helpers import training_runs
from trainers.evaluation import options
from trainers.evaluation import predictions
from trainers.evaluation import run


@pytest.mark.parametrize(
    "strategies, message",
    [
        ([], "Give a strategy, or all"),
        (["map", "tresh:0.5"], "Received: 'tresh:0.5'"),
        (["all", "map"], "Received: 'all'"),
    ],
)
def test_wrong_strategy_is_refused_before_the_folder_is_read(
    strategies, message, tmp_path
):
  with pytest.raises(ValueError, match=message):
    run.evaluate_run(tmp_path / "none", options.Options(strategies=strategies))


def test_folder_without_a_run_names_the_program(tmp_path):
  with pytest.raises(FileNotFoundError, match="-m trainers.train --workdir"):
    run.evaluate_run(tmp_path, options.Options())


def test_what_is_returned_is_what_is_written(tiny_run, tmp_path, capsys):
  for name in ("config.json", "model.keras"):
    shutil.copy(tiny_run / name, tmp_path / name)
  value = run.evaluate_run(
      tmp_path,
      options.Options(strategies=["map", "threshold:.30"], output="own.json"),
  )
  assert artifacts.read_json(tmp_path / "own.json") == value
  assert not (tmp_path / "evaluation.json").exists()
  # As they were written by who asked.
  assert list(value["strategies"]) == ["map", "threshold:.30"]
  printed = capsys.readouterr().out
  for name, result in value["strategies"].items():
    assert f"\n{name} " in printed
    assert f"{100 * result['accuracy']:.2f}%" in printed


def test_predictions_are_those_that_the_accuracies_are_of(tiny_run, tmp_path):
  for name in ("config.json", "model.keras"):
    shutil.copy(tiny_run / name, tmp_path / name)
  with training_runs.eagerly():
    value = run.evaluate_run(
        tmp_path,
        options.Options(strategies=["threshold:0.6", "map"], predictions=True),
    )
  found = predictions.read(tmp_path / predictions.NAME)
  result = value["strategies"]["threshold:0.6"]
  assert found["test"].right.mean() == pytest.approx(result["accuracy"])
  assert found["test"].macs.mean() == pytest.approx(result["macs"])
  assert len(found["test"].logits) == value["examples"]
  assert (found["validation"].labels != found["test"].labels).any()


def test_results_that_cannot_be_written_are_refused_before_the_work(
    tiny_run, tmp_path, monkeypatch
):
  for name in ("config.json", "model.keras"):
    shutil.copy(tiny_run / name, tmp_path / name)
  (tmp_path / "evaluation.json").mkdir()
  given = {"strategies": ["always_open"]}
  with monkeypatch.context() as patch:
    patch.setattr(run.pgates, "load_model", None)
    with pytest.raises(IsADirectoryError, match="Give another --output"):
      run.evaluate_run(tmp_path, options.Options(**given))
  path = tmp_path / "elsewhere" / "own.json"
  elsewhere = options.Options(**given, output=str(path))
  assert run.evaluate_run(tmp_path, elsewhere) == artifacts.read_json(path)


def test_row_stands_under_its_header():
  result = {**compared_runs.strategy(0.8125), "accuracy_std": 0.0123}
  row = run._row("map", result, 1000)
  assert len(row) == len(run._HEADER)
  assert row.split() == [
      *("map", "81.25%", "1.23", "100.00%", "0.700", "700", "70.0%", "2"),
  ]
