"""Tests of `trainers.reporting.writer`, and of the pages that it writes."""

import dataclasses
import html
import itertools
import re
import shutil

import keras
import pytest

from file_io import artifacts
import image_data
from tests.helpers import accelerations
from tests.helpers import compared_runs
from tests.helpers import training_runs
from trainers.comparison import summary as comparison_summary
from trainers.comparison import table as comparison_table
from trainers.evaluation import run_folder
from trainers.reporting import measurements as report_measurements
from trainers.reporting import writer as report_writer
from trainers.training import networks

pytestmark = pytest.mark.usefixtures("eagerly")

BLOCKS = ["stage1_block0", "stage2_block0", "stage3_block0"]


def _evaluation(model_macs):
  strategies = {
      name: compared_runs.strategy(accuracy, macs=macs, rates=(1.0, 0.0, 0.4))
      for name, accuracy, macs in [
          ("map", 0.8125, 0.75 * model_macs),
          ("ensemble:5", 0.85, 4 * model_macs),
          ("prune:0.5", 0.79, 0.5 * model_macs),
      ]
  }
  strategies["map"]["accuracy_std"] = 0.0123
  return {
      "dataset": "digits",
      "split": "test",
      "examples": 300,
      "dense_macs": model_macs,
      "strategies": strategies,
      "gates": [{"name": name, "macs": 1} for name in BLOCKS],
      "threshold_curves": {
          "test": [{"macs": 0.6 * model_macs, "accuracy": 0.7}] * 2
      },
  }


@pytest.fixture(name="run")
def _run(tiny_run, tmp_path):
  for name in ("config.json", "model.keras", "history.jsonl"):
    shutil.copy(tiny_run / name, tmp_path / name)
  artifacts.write_json(tmp_path / "evaluation.json", _evaluation(800_000))
  return tmp_path


def _text(path):
  """What is to be read on a page, without its tags."""
  page = path.read_text()
  page = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
  return html.unescape(re.sub(r"<[^>]+>", " ", page))


def test_page_of_a_run_shows_what_its_files_hold(run):
  path = report_writer.write_report(run)
  assert path == run / "report.html"
  text, page = _text(path), path.read_text()
  for words in ("81.25 %", "1.23", "600,000", "75.0", "300 examples of test"):
    assert words in text
  # Three heat maps and plots more than once name the blocks.
  assert all(page.count(name) >= 2 for name in BLOCKS)
  assert page.count("<svg") == 4
  assert page.count("data:image/png;base64") >= 16
  settings = artifacts.read_json(run / "config.json")["settings"]
  for name, value in settings.items():
    assert re.search(rf"{name}\s+{re.escape(str(value))}\s", text), name
  # One file, whole: nothing else of the folder was touched.
  assert not list(run.glob(".report*"))


def test_examples_are_those_of_map_on_the_evaluated_split(run):
  settings = artifacts.read_json(run / "config.json")["settings"]
  dataset = image_data.open_dataset("digits", data_dir=settings["data_dir"])
  model = keras.models.load_model(run / "model.keras", compile=False)
  batches = run_folder.batches(settings, dataset, "test").test
  found = report_measurements.decide(model, batches)
  page = report_writer.write_report(run).read_text()
  assert f"{found.num_patterns} different patterns" in page
  shares = re.findall(r"(\d+) % of the MACs", page)
  assert [int(share) for share in shares] == [
      round(100 * found.macs[index] / 800_000)
      for index in (*found.cheapest, *found.most_expensive)
  ]


def test_network_is_the_one_that_was_evaluated(run):
  (run / "model.keras").rename(run / "best.keras")
  with pytest.raises(FileNotFoundError, match="has no model.keras"):
    report_writer.write_report(run)
  value = {**_evaluation(800_000), "model_file": "best.keras"}
  artifacts.write_json(run / "evaluation.json", value)
  assert "81.25 %" in _text(report_writer.write_report(run))


def test_ungated_network_is_marked_and_counts_as_all_macs(run, tmp_path):
  ungated = _evaluation(1_200_000)
  ungated["strategies"] = {
      "always_open": compared_runs.strategy(0.9, macs=1_200_000.0)
  }
  artifacts.write_json(tmp_path / "ungated" / "evaluation.json", ungated)
  page = report_writer.write_report(run, reference=tmp_path / "ungated")
  assert "ungated network<" in page.read_text()
  # 600,000 of them.
  assert "50.0" in _text(page)
  ungated["split"] = "validation"
  artifacts.write_json(tmp_path / "ungated" / "evaluation.json", ungated)
  with pytest.raises(ValueError, match="evaluated as always_open on test"):
    report_writer.write_report(run, reference=tmp_path / "ungated")


def test_run_of_an_acceleration_shows_what_else_was_tried(tmp_path, run):
  folder = tmp_path / "faster" / "rate_0.6"
  shutil.copytree(run, folder)
  report_writer.write_report(folder)
  assert "were tried" not in _text(folder / "report.html")
  path = folder.parent / "accelerated.json"
  rows = [
      accelerations.row("given", "tflite", 1.0, 100.0, 0.95),
      accelerations.row("rate_0.6", "tflite", 0.7, 60.0, 0.94, chosen=True),
  ]
  artifacts.write_json(path, {"lowest_accuracy": 0.9, "rows": rows})
  report_writer.write_report(folder)
  text = _text(folder / "report.html")
  assert "Networks that were tried" in text and "TF-Lite rate_0.6" in text
  path.write_text("{}")
  with pytest.raises(ValueError, match="accelerated.json is no file of train"):
    report_writer.write_report(folder)


def test_network_without_gates_has_a_page(run):
  settings = artifacts.read_json(run / "config.json")["settings"]
  config = training_runs.config("--gate=none", "--network=cifar_resnet8")
  dataset = image_data.open_dataset("digits", data_dir=settings["data_dir"])
  model = networks.make_model(config, dataset, steps_per_epoch=4)
  model.save(run / "model.keras")
  text = _text(report_writer.write_report(run))
  assert "has no gates" in text and "81.25 %" in text


@pytest.mark.parametrize("name", ["config.json", "evaluation.json"])
def test_missing_file_is_named_with_what_writes_it(run, name):
  (run / name).unlink()
  program = "train" if name == "config.json" else "evaluate"
  with pytest.raises(FileNotFoundError, match=f"{name}.*trainers.{program}"):
    report_writer.write_report(run)


@pytest.mark.parametrize(
    "name",
    ["evaluation.json", pytest.param("history.jsonl", marks=pytest.mark.slow)],
)
def test_result_of_another_shape_is_named(run, name):
  (run / name).write_text("[]\n")
  message = rf"{run / name}.*it is \[\], and not an object"
  with pytest.raises(ValueError, match=message):
    report_writer.write_report(run)


def test_page_that_cannot_be_written_is_refused_before_the_work(
    run, tmp_path, monkeypatch
):
  (run / "report.html").mkdir()
  elsewhere = tmp_path / "elsewhere"
  elsewhere.mkdir()
  evaluation = (run / "evaluation.json").rename(elsewhere / "results.json")
  with monkeypatch.context() as patch:
    patch.setattr(report_writer.pgates, "load_model", None)
    with pytest.raises(IsADirectoryError, match="Give another --output"):
      report_writer.write_report(run, evaluation=evaluation)
  path = report_writer.write_report(
      run, evaluation=evaluation, output=elsewhere / "page.html"
  )
  assert path == elsewhere / "page.html" and "81.25 %" in _text(path)


@pytest.fixture(name="comparison")
def _comparison(tmp_path):
  settings = dataclasses.asdict(training_runs.config("--learning_rate=0.25"))
  artifacts.write_json(tmp_path / "recipe.json", settings)
  value = {
      "command": ["python", "-m", "trainers.compare", "--seeds=2"],
      "recipe": settings,
      **comparison_summary.summarize(compared_runs.results()),
  }
  artifacts.write_json(tmp_path / "comparison.json", value)
  return tmp_path


def test_page_of_a_comparison_shows_its_tables_and_plots(comparison):
  path = report_writer.write_report(comparison)
  text, page = _text(path), path.read_text()
  value = artifacts.read_json(comparison / "comparison.json")
  for title, _, header, rows in comparison_table.tables(value):
    assert title in text
    for trial in itertools.chain(header, *rows):
      assert trial in text
  assert page.count("<svg") == 3
  for words in ("ungated network<", "Pareto front<", "pruned<", "block1<"):
    assert words in page
  assert "--seeds=2" in text and "0.25" in text
  plot = (comparison / "comparison.svg").read_text()
  # By itself: it has no page to take colours from.
  assert "per_batch_dependent<" in plot and "#ffffff" in plot
  assert "var(--" not in plot and "currentColor" not in plot


def test_page_of_a_comparison_has_its_plot_beside_it(comparison, tmp_path):
  path = tmp_path / "elsewhere" / "page.html"
  assert report_writer.write_report(comparison, output=path) == path
  names = {each.name for each in path.parent.iterdir()}
  assert names == {"page.html", "comparison.svg"}
  assert not (comparison / "comparison.svg").exists()


def test_comparison_that_is_not_finished_is_refused(comparison):
  (comparison / "comparison.json").unlink()
  with pytest.raises(FileNotFoundError, match="trainers.compare"):
    report_writer.write_report(comparison)


def test_comparison_of_another_shape_is_named(comparison):
  path = comparison / "comparison.json"
  artifacts.write_json(path, {**artifacts.read_json(path), "rows": None})
  with pytest.raises(ValueError, match=f"{path} is no file .*rows is null"):
    report_writer.write_report(comparison)


def test_exports_come_first_and_must_be_of_the_same_data(run, tmp_path):
  row = {"gating": "fixed", "format": "tflite", "quantization": "int8"}
  row |= {"accuracy": 0.75, "macs": 5.0, "bytes": 7000}
  exported = {"dataset": "digits", "variants": [row], "references": []}
  folder = tmp_path / "exported"
  folder.mkdir()
  with pytest.raises(FileNotFoundError, match="give the --output_dir of"):
    report_writer.write_report(run, export=folder)
  artifacts.write_json(folder / "export.json", {**exported, "dataset": "mnist"})
  with pytest.raises(ValueError, match="of this run, on digits.*on mnist"):
    report_writer.write_report(run, export=folder)
  artifacts.write_json(folder / "export.json", [exported])
  with pytest.raises(ValueError, match="export.json is no file of export"):
    report_writer.write_report(run, export=folder)
  artifacts.write_json(folder / "export.json", exported)
  text = _text(report_writer.write_report(run, export=folder))
  assert "TF-Lite fixed int8" in text
  assert text.index("Exported files") < text.index("Strategies")
