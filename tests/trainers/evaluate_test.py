"""Tests of the program `trainers.evaluate`."""

import re
import shutil

from absl import app
from absl import flags
from absl.testing import flagsaver
import keras
import numpy as np
import pytest

from file_io import artifacts
import image_data
import pgates
from tests.helpers import result_shapes
from tests.helpers import training_runs
from trainers import evaluate

pytestmark = pytest.mark.usefixtures("eagerly")


@pytest.fixture
def workdir(tiny_run, tmp_path):
  """The folder of a finished run."""
  for name in ("config.json", "model.keras"):
    shutil.copy(tiny_run / name, tmp_path / name)
  return tmp_path


@pytest.fixture(autouse=True)
def _no_data_at_home(monkeypatch, tmp_path):
  """The default of --data_dir holds no data, nor does it get any."""
  home = tmp_path / "home"
  monkeypatch.setattr(flags.FLAGS["data_dir"], "value", str(home))
  yield
  assert not home.exists()


def _main(workdir, *arguments):
  with training_runs.parsed(f"--workdir={workdir}", *arguments):
    evaluate.main(["evaluate"])
  return artifacts.read_json(workdir / "evaluation.json")


def _rows(output):
  """The table: strategy -> columns."""
  lines = [line.split() for line in output.splitlines()]
  start = next(i for i, line in enumerate(lines) if line[:1] == ["strategy"])
  end = next(i for i, line in enumerate(lines) if line[:1] == ["MACs:"])
  return {line[0]: line[1:] for line in lines[start + 1 : end]}


def _data(data_dir, split):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  images, labels = dataset.arrays(split)
  return np.asarray(images, np.float32), labels.numpy()


def _accuracy(workdir, strategy, images, labels):
  model = keras.models.load_model(workdir / "model.keras", compile=False)
  decided = pgates.with_strategy(model, strategy)
  logits = decided.predict(images, verbose=0)["logits"]
  return np.mean(logits.argmax(-1) == labels)


@pytest.mark.slow
def test_all_strategies_are_evaluated(workdir, data_dir, capsys):
  value = _main(workdir)
  model = keras.models.load_model(workdir / "model.keras", compile=False)
  names = ["map", "threshold:0.3", "sampled", "ensemble:5", "expected"]
  names += ["always_open", "budget:0.7", "prune:0.5", "top_k:2", "settled"]
  assert list(value["strategies"]) == names
  assert (value["dataset"], value["split"]) == ("digits", "test")
  assert value["examples"] == 300
  assert value["dense_macs"] == model.macs.dense
  assert [gate["macs"] for gate in value["gates"]] == [*model.macs.branches]
  assert value["gates"][1]["name"] == "stage2_block0"
  committed = result_shapes.committed("demo_gated.json")
  strategies = {
      name if ":" not in name else name.partition(":")[0]: row
      for name, row in committed["strategies"].items()
  }
  for name, row in value["strategies"].items():
    theirs = strategies[name.partition(":")[0]]
    assert result_shapes.shape(row) == result_shapes.shape(theirs)
  required = {"accuracy", "top5_accuracy", "open_rate", "macs"}
  for name, result in value["strategies"].items():
    assert result.keys() >= {*required, "gate_open_rates"}
    has_deviation = "accuracy_std" in result
    assert has_deviation == (name in ("sampled", "ensemble:5"))
    assert len(result["gate_open_rates"]) == 3
  images, labels = _data(data_dir, "test")
  for name in ("map", "always_open"):
    expected = _accuracy(workdir, name, images, labels)
    accuracy = value["strategies"][name]["accuracy"]
    np.testing.assert_allclose(accuracy, expected, rtol=1e-12)
  rows = _rows(capsys.readouterr().out)
  assert list(rows) == names
  for name, row in rows.items():
    result = value["strategies"][name]
    assert row[0] == f"{100 * result['accuracy']:.2f}%"
    share = 100 * result["macs"] / value["dense_macs"]
    assert row[-2] == f"{share:.1f}%"
    if "accuracy_std" in result:
      assert row[1] == f"{100 * result['accuracy_std']:.2f}"


def test_split_is_the_one_asked_for(workdir, data_dir):
  value = _main(workdir, "--split=validation", "--strategies=map")
  expected = _accuracy(workdir, "map", *_data(data_dir, "validation"))
  on_test = _accuracy(workdir, "map", *_data(data_dir, "test"))
  assert value["split"] == "validation"
  assert value["strategies"]["map"]["accuracy"] == pytest.approx(expected)
  assert expected != on_test


@pytest.mark.slow
def test_curve_over_thresholds_is_measured_on_both_splits(workdir, data_dir):
  value = _main(workdir, "--strategies=map", "--threshold_curve")
  assert value["strategies"].keys() == {"map"}
  model = keras.models.load_model(workdir / "model.keras", compile=False)
  for split in ("validation", "test"):
    curve = value["threshold_curves"][split]
    assert [point["threshold"] for point in curve][::5] == [0, 0.5, 1]
    accuracy = _accuracy(workdir, "map", *_data(data_dir, split))
    assert curve[5]["accuracy"] == pytest.approx(accuracy)
    assert curve[0]["macs"] == model.macs.dense
    assert curve[-1]["macs"] == model.macs.always


@pytest.mark.slow
def test_another_file_may_be_written(workdir):
  first = _main(workdir, "--strategies=always_open")
  second = _main(workdir, "--strategies=map", "--output=other.json")
  assert second == first
  other = artifacts.read_json(workdir / "other.json")
  assert other["strategies"].keys() == {"map"}


def test_parameters_are_those_of_the_network_under_the_strategy(workdir):
  value = _main(workdir, "--strategies=map,top_k:1")
  model = keras.models.load_model(workdir / "model.keras", compile=False)
  strategies = value["strategies"]
  assert value["parameters"] == model.count_params()
  assert strategies["map"]["parameters"] == model.count_params()
  branches = [block.branch for block in pgates.gated_blocks(model)]
  largest = max(branch.count_params() for branch in branches)
  without = model.count_params() - sum(b.count_params() for b in branches)
  pruned = strategies["top_k:1"]["parameters"]
  # Of one branch at most, and no gates.
  assert 0 < pruned < without + largest


@pytest.mark.slow
def test_recalibration_changes_the_result_but_not_the_model(workdir):
  saved = (workdir / "model.keras").read_bytes()
  plain = _main(workdir, "--strategies=map")
  arguments = ("--strategies=map", "--recalibrate_batch_norm=4")
  value = _main(workdir, *arguments, "--execution=routed")
  assert value["recalibrate_batch_norm"] == 4
  assert value["strategies"] != plain["strategies"]
  assert (workdir / "model.keras").read_bytes() == saved


def _reference(folder, **changes):
  result = {"accuracy": 0.875, "top5_accuracy": 1.0, "open_rate": 1.0}
  result |= {"macs": 5e5, "gate_patterns": 1}
  value = {
      "dataset": "digits",
      "split": "test",
      "dense_macs": 10**6,
      "strategies": {"always_open": result},
      **changes,
  }
  artifacts.write_json(folder / "reference" / "evaluation.json", value)
  return folder / "reference"


def test_reference_is_shown_and_its_macs_are_the_whole(workdir, capsys):
  reference = _reference(workdir)
  value = _main(workdir, "--strategies=map", f"--reference={reference}")
  output = capsys.readouterr().out
  rows = _rows(output)
  assert list(rows) == ["(reference)", "map"]
  assert rows["(reference)"][0] == "87.50%"
  assert rows["(reference)"][-2] == "50.0%"
  share = 100 * value["strategies"]["map"]["macs"] / 10**6
  assert rows["map"][-2] == f"{share:.1f}%"
  assert "in % of 1,000,000 dense ones" in output
  # Wilson's interval, as his paper (1927) has it.
  n, share, z = value["examples"], value["strategies"]["map"]["accuracy"], 1.96
  middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
  half = np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) * z
  half /= 1 + z**2 / n
  line = re.search(
      r"Of (\d+) images, map's (.*) % stand for ([\d.]+) to ([\d.]+) %", output
  )
  assert int(line[1]) == n
  np.testing.assert_allclose(
      [float(number) for number in line.groups()[1:]],
      [100 * share, 100 * (middle - half), 100 * (middle + half)],
      atol=0.01,
  )


@pytest.mark.parametrize(
    "changes",
    [{"split": "validation"}, {"dataset": "mnist"}, {"strategies": {"map": 0}}],
    ids=["split", "dataset", "strategies"],
)
def test_reference_that_cannot_be_compared_is_refused(workdir, changes):
  reference = _reference(workdir, **changes)
  message = "evaluated as always_open on test of digits"
  with pytest.raises(SystemExit, match=message):
    _main(workdir, "--strategies=map", f"--reference={reference}")
  assert not (workdir / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "it is null, and not an object"),
        ({"strategies": []}, r"strategies is \[\], and not an object"),
        ({"strategies": {"always_open": 1}}, "strategies.always_open is 1"),
    ],
)
def test_reference_of_another_shape_is_named(workdir, value, message):
  path = _reference(workdir) / "evaluation.json"
  whole = artifacts.read_json(path)
  artifacts.write_json(path, value and {**whole, **value})
  with pytest.raises(SystemExit, match=f"{path} is no file .*{message}"):
    _main(workdir, "--strategies=map", f"--reference={path.parent}")


@pytest.mark.parametrize(
    "missing, program", [("config.json", "train"), ("model.keras", "train")]
)
def test_missing_run_names_the_command_to_run(workdir, missing, program):
  (workdir / missing).unlink()
  message = (
      f"{workdir} has no {missing}. Run `python -m trainers.{program} "
      f"--workdir={workdir}`"
  )
  with pytest.raises(SystemExit, match=message):
    _main(workdir)


def test_reference_without_evaluation_names_the_command_to_run(
    workdir, tiny_run
):
  message = f"Run `python -m trainers.evaluate --workdir={tiny_run}`"
  with pytest.raises(SystemExit, match=message):
    _main(workdir, f"--reference={tiny_run}")


@pytest.mark.parametrize(
    "strategies, message",
    [
        ("map,tresh:0.5", "Received: 'tresh:0.5'"),
        ("all,map", "Received: 'all'"),
        ("", "Give a strategy, or all"),
        ("map,top_k:9", "'top_k:9' keeps more than the model's 3 blocks"),
    ],
)
def test_wrong_strategy_is_refused_and_nothing_written(
    workdir, strategies, message
):
  with pytest.raises(SystemExit, match=f"trainers.evaluate: .*{message}"):
    _main(workdir, f"--strategies={strategies}")
  assert not (workdir / "evaluation.json").exists()


@pytest.mark.parametrize(
    "name", ["", "config.json", "../config.json", "/tmp/position.json", "other"]
)
def test_output_that_is_none_of_evaluation_is_refused(workdir, name):
  before = sorted(path.name for path in workdir.iterdir())
  with pytest.raises(
      SystemExit, match="the name of a JSON file in the workdir"
  ):
    _main(workdir, "--strategies=map", f"--output={name}")
  assert sorted(path.name for path in workdir.iterdir()) == before


def test_data_of_other_classes_are_refused(workdir):
  value = artifacts.read_json(workdir / "config.json")
  value["data"]["classes"][3] = "drei"
  artifacts.write_json(workdir / "config.json", value)
  with pytest.raises(SystemExit, match="gone: drei; new: 3"):
    _main(workdir, "--strategies=map")


def test_result_says_which_network_it_is_of_and_how_it_ran(workdir):
  shutil.copy(workdir / "model.keras", workdir / "best.keras")
  written = _main(
      workdir,
      "--strategies=map",
      "--model_file=best.keras",
      "--execution=routed",
  )
  assert written["model_file"] == "best.keras"
  assert written["execution"] == "routed"


def test_data_dir_can_be_given(workdir, tmp_path):
  value = artifacts.read_json(workdir / "config.json")
  data_dir = value["settings"]["data_dir"]
  value["settings"]["data_dir"] = str(tmp_path / "moved")
  artifacts.write_json(workdir / "config.json", value)
  _main(workdir, "--strategies=always_open", f"--data_dir={data_dir}")
  assert not (tmp_path / "moved").exists()


def test_argument_that_is_no_flag_is_refused():
  with pytest.raises(app.UsageError, match=r"\['map'\]"):
    evaluate.main(["evaluate", "map"])


@pytest.mark.parametrize("name", ["workdir", "reference", "output"])
def test_paths_of_other_file_systems_are_refused(name):
  with pytest.raises(flags.IllegalFlagValueError, match="gs:// is no file sys"):
    with training_runs.parsed("--workdir=unused", f"--{name}=gs://b/a.json"):
      pass


def test_interrupted_evaluation_ends_in_one_line(workdir, monkeypatch, capsys):
  def interrupt(*args, **kwargs):
    raise KeyboardInterrupt

  monkeypatch.setattr(evaluate.run, "evaluate_run", interrupt)
  with pytest.raises(SystemExit) as error:
    _main(workdir)
  assert error.value.code == 130
  message = "trainers.evaluate: Ended by SIGINT. What was there stays.\n"
  assert capsys.readouterr().err == message


def test_program_without_workdir_is_refused():
  with flagsaver.flagsaver():
    with pytest.raises(flags.IllegalFlagValueError, match="--workdir"):
      flags.FLAGS(["program"])
