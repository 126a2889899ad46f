"""Files of an older commit, see `data/README.md`, serve the code of today."""

import pathlib
import shutil

import keras
import numpy as np
import pytest

from export import run
from export.checks import run_exported
from file_io import artifacts
import pgates
from run_data import reader
from tests.helpers import parameters
from tests.helpers import training_runs
from trainers.comparison import runs as comparison_runs
from trainers.comparison import summary as comparison_summary
from trainers.comparison import trials as trials_lib
from trainers.evaluation import options
from trainers.evaluation import run as evaluation_run
from trainers.reporting import writer as report_writer
from trainers.settings import config_from_flags
from trainers.training import training

DATA = pathlib.Path(__file__).parent / "data"
MODELS = ("gate_kinds", "map", "threshold", "routed")
# Where a comparison has its one run.
RUN = DATA / "comparison" / "per_batch_dependent_0.6" / "seed0"
# Strategies for which no random number is drawn.
STEADY = ["map", "expected", "budget:0.7", "prune:0.5"]
OUTPUTS = ("logits", "gates", "gate_logits")


def _copied(name, folder):
  return shutil.copytree(DATA / name, folder / name)


def _flags(workdir, data_dir):
  """The flags that a run was begun with, for data that lie elsewhere."""
  command = artifacts.read_json(workdir / "config.json")["command"]
  elsewhere = ("--workdir=", "--data_dir=", "--keep_checkpoints=")
  kept = [flag for flag in command[1:] if not flag.startswith(elsewhere)]
  return [*kept, f"--data_dir={data_dir}"]


def _assert_answers(model, name):
  with np.load(DATA / "models" / "outputs.npz") as stored:
    received = model.predict(stored["images"], verbose=0)
    assert set(received) == set(OUTPUTS)
    for output in OUTPUTS:
      # Other instructions of a processor round otherwise: seen, 2e-6.
      np.testing.assert_allclose(
          received[output], stored[f"{name}/{output}"], rtol=1e-5, atol=1e-5
      )


@pytest.mark.parametrize("name", parameters.slow_but(["gate_kinds"], MODELS))
def test_keras_file_answers_as_before_and_is_saved_anew(name, tmp_path):
  model = pgates.load_model(DATA / "models" / f"{name}.keras")
  _assert_answers(model, name)
  model.save(tmp_path / "anew.keras")
  _assert_answers(pgates.load_model(tmp_path / "anew.keras"), name)


@pytest.mark.parametrize(
    "name", [pytest.param("map", marks=pytest.mark.slow), "threshold"]
)
def test_strategy_gives_a_loaded_network_the_decisions_of_before(name):
  strategy = {"map": "map", "threshold": "threshold:0.3"}[name]
  # Each from the network of another strategy, which is replaced.
  model = pgates.load_model(DATA / "models" / "routed.keras")
  _assert_answers(pgates.with_strategy(model, strategy), name)


def test_compiled_network_is_evaluated_as_before_and_trains_on():
  model = keras.models.load_model(DATA / "models" / "gate_kinds.keras")
  assert int(model.optimizer.iterations) == 8
  with np.load(DATA / "models" / "outputs.npz") as stored:
    images, labels = stored["images"], stored["labels"]
    expected = {
        name.removeprefix("logs/"): float(stored[name])
        for name in stored
        if name.startswith("logs/")
    }
  logs = model.evaluate(images, labels, return_dict=True, verbose=0)
  assert logs == pytest.approx(expected, rel=1e-5)
  model.fit(images, labels, epochs=10, verbose=0)
  trained = model.evaluate(images, labels, return_dict=True, verbose=0)
  assert trained["task_loss"] < logs["task_loss"]


@pytest.mark.slow
def test_evaluation_of_a_run_finds_what_was_found_before(data_dir, tmp_path):
  workdir = shutil.copytree(RUN, tmp_path / "run")
  before = artifacts.read_json(workdir / "evaluation.json")
  now = evaluation_run.evaluate_run(
      workdir,
      options.Options(strategies=STEADY),
      place=reader.Place(data_dir=data_dir),
  )
  assert list(now["strategies"]) == STEADY
  for strategy, found in now["strategies"].items():
    expected = before["strategies"][strategy]
    rates = expected.pop("gate_open_rates")
    assert found["gate_open_rates"] == pytest.approx(rates)
    assert {k: found[k] for k in expected} == pytest.approx(expected)
  assert now["gates"] == before["gates"]
  assert now["dense_macs"] == before["dense_macs"]


@pytest.mark.slow
def test_interrupted_run_continues_as_it_would_have(data_dir, tmp_path, capsys):
  workdir = _copied("interrupted_run", tmp_path)
  first, _ = expected = [
      artifacts.read_json_lines(workdir / "history.jsonl")[0],
      artifacts.read_json(workdir / "second_epoch.json"),
  ]
  config = training_runs.config(*_flags(workdir, data_dir))
  training.run(config, workdir)
  assert "Continuing after epoch 1, step 0." in capsys.readouterr().out
  received = artifacts.read_json_lines(workdir / "history.jsonl")
  assert received[0] == first and len(received) == 2
  for name, value in expected[1].items():
    if not name.startswith("seconds"):
      assert received[1][name] == pytest.approx(value, rel=1e-4), name
  assert pgates.load_model(workdir / "model.keras").macs.dense == 764592


@pytest.mark.slow
def test_report_reads_a_run(data_dir, tmp_path):
  workdir = shutil.copytree(RUN, tmp_path / "run")
  page = report_writer.write_report(
      workdir, place=reader.Place(data_dir=data_dir)
  )
  assert "96.00 %" in page.read_text()


def test_finished_comparison_is_read_and_not_run_again(data_dir, tmp_path):
  folder = shutil.copytree(DATA / "comparison", tmp_path / "comparison")
  (trial,) = trials_lib.make_trials(["per_batch_dependent"], [0.6], [0])
  with training_runs.parsed("--workdir=unused", *_flags(RUN, data_dir)):
    settings = config_from_flags.read_settings()
  del settings["target_rates"]
  said = []
  comparison_runs.ComparisonRuns(
      [trial], settings, folder, num_recalibration_batches=2, num_jobs=1
  ).run(echo=said.append)
  assert said == ["1 of 1 runs are finished."]
  found = comparison_summary.summarize([trials_lib.read_trial(folder, trial)])
  before = artifacts.read_json(folder / "comparison.json")
  assert found["rows"] == before["rows"]
  assert found["answers"] == before["answers"]
  page = report_writer.write_report(folder).read_text()
  assert "per_batch_dependent" in page and "95.87" in page


@pytest.mark.parametrize(
    ("path", "runner", "inputs"),
    [
        ("digits/1", run_exported.saved_model_runner, {}),
        # It has no default of the threshold.
        (
            "digits_dynamic.tflite",
            run_exported.tflite_runner,
            {"threshold": np.full(6, 0.4, np.float32)},
        ),
    ],
)
def test_exported_network_answers_as_before(path, runner, inputs):
  with np.load(DATA / "export" / "answers.npz") as stored:
    expected = dict(stored)
  ask = runner(DATA / "export" / path)
  answers = ask("serving_default", {"images": expected.pop("images"), **inputs})
  for name in ("probabilities", "gates"):
    np.testing.assert_allclose(
        answers[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name
    )


@pytest.mark.slow
def test_export_is_checked_and_gets_a_further_version(data_dir, tmp_path):
  folder = _copied("export", tmp_path)
  options = {"output_dir": str(folder), "data_dir": str(data_dir)}
  model = str(DATA / "models" / "gate_kinds.keras")
  run.run(
      run.Options(
          model=model,
          dataset="digits",
          format=("saved_model", "tflite"),
          verify_only=True,
          num_examples=40,
          **options,
      )
  )
  before = artifacts.read_json(folder / "export.json")
  run.run(
      run.Options(
          workdir=str(RUN),
          name="digits",
          gating=("dynamic",),
          num_examples=40,
          **options,
      )
  )
  # What was there before still is; times have come.
  after = artifacts.read_json(folder / "export.json")
  assert after.keys() == {*before.keys(), "references", "limits"}
  for file in (DATA / "export" / "digits" / "1").rglob("*"):
    if file.is_file():
      kept = folder / file.relative_to(DATA / "export")
      assert kept.read_bytes() == file.read_bytes()
  gates = [
      artifacts.read_json(folder / "digits" / version / "assets" / "gates.json")
      for version in "12"
  ]
  assert gates[0].keys() == gates[1].keys()
  assert [len(description["gates"]) for description in gates] == [4, 3]
