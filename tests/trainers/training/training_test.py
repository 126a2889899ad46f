"""Tests of `trainers.training`, on a small network that runs eagerly."""

import dataclasses
import json
import pathlib
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from file_io import artifacts
from file_io import locks
import image_data
import pgates
from tests.helpers import damaged_images
from tests.helpers import training_runs
from trainers.evaluation import options
from trainers.evaluation import run
from trainers.training import initial_weights
from trainers.training import loop as loop_lib
from trainers.training import networks
from trainers.training import run_files
from trainers.training import training

# Two steps an epoch.
BATCH, STEPS = 512, 2
# Runs to interrupt, between them every kind of state that there is.
_SCHEDULE = ("--temperature_schedule=linear", "--final_temperature=0.5")
RUNS = {
    "plain": ("--epochs=2", "--learning_rate=0.02", *_SCHEDULE),
    "averaged": (
        "--epochs=2",
        "--ema_momentum=0.8",
        "--gate=independent",
        "--temperature_schedule=linear",
        "--final_temperature=0.25",
        "--label_smoothing=0.2",
        "--mixup=0.3",
        "--weight_decay=1e-3",
    ),
    "replicas": (
        *("--epochs=2", "--learning_rate=0.02", *_SCHEDULE),
        *("--num_virtual_devices=2", "--sync_batch_norm"),
    ),
}


class Recorder(keras.callbacks.Callback):
  """Keeps the model, and its trainable weights before and after each step."""

  def __init__(self):
    super().__init__()
    self.weights = []

  def on_train_begin(self, logs=None):
    self._record()

  def on_train_batch_end(self, batch, logs=None):
    self._record()

  def _record(self):
    weights = self.model.trainable_variables
    self.weights.append([np.asarray(variable) for variable in weights])


@pytest.fixture(scope="module", autouse=True)
def _small_and_eager():
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(networks, "build_network", training_runs.dense_network)
    with training_runs.eagerly():
      yield


@pytest.fixture(autouse=True)
def _default_policy():
  yield
  keras.config.set_dtype_policy("float32")


def _config(data_dir, *arguments):
  return training_runs.config(
      f"--batch_size={BATCH}", f"--data_dir={data_dir}", *arguments
  )


@pytest.fixture(scope="module")
def runs(data_dir, tmp_path_factory, _small_and_eager):
  """Folder and `Recorder` of each of RUNS."""
  made = {}

  def make(name):
    if name not in made:
      folder, recorder = tmp_path_factory.mktemp(name), Recorder()
      with training_runs.further_callbacks(recorder):
        training.run(_config(data_dir, *RUNS[name]), folder)
      made[name] = folder, recorder
    return made[name]

  return make


def _files(folder):
  paths = [path for path in folder.rglob("*") if path.is_file()]
  return {path: path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("name", "history"),
    [("plain", "lost")]
    + [
        pytest.param(name, "whole", marks=pytest.mark.slow)
        for name in ("plain", "averaged", "replicas")
    ],
)
def test_run_stopped_by_sigterm_continues_as_one_never_stopped(
    runs, data_dir, tmp_path, name, history
):
  config = _config(data_dir, *RUNS[name])
  stop = training_runs.SigtermAt(
      STEPS + 1
  )  # In the middle of the second epoch.
  with training_runs.further_callbacks(stop):
    with pytest.raises(loop_lib.Stopped):
      training.run(config, tmp_path)
  assert len(training_runs.history(tmp_path)) == 1
  assert not (tmp_path / "model.keras").exists()
  if history == "lost":
    (tmp_path / "history.jsonl").unlink()
  training.run(config, tmp_path)
  whole, _ = runs(name)
  assert training_runs.history(tmp_path) == training_runs.history(whole)
  state = training_runs.newest_state(tmp_path)
  assert state == training_runs.newest_state(whole)
  for ours, theirs in zip(_weights(tmp_path), _weights(whole), strict=True):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "name", ["plain", pytest.param("averaged", marks=pytest.mark.slow)]
)
def test_best_network_is_that_of_the_best_epoch(runs, data_dir, name):
  folder, _ = runs(name)
  history = training_runs.history(folder)
  best = keras.models.load_model(folder / "best.keras", compile=False)
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  images, labels = dataset.arrays("validation")
  logits = best.predict(np.asarray(images, np.float32), verbose=0)["logits"]
  accuracy = np.mean(logits.argmax(-1) == labels.numpy())
  highest = max(line["val_accuracy"] for line in history)
  assert accuracy == pytest.approx(highest)


def _model(folder):
  return keras.models.load_model(folder / "model.keras")


def _weights(folder):
  return [np.asarray(variable) for variable in _model(folder).weights]


def _validation(data_dir):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  images, labels = dataset.arrays("validation")
  return np.asarray(images, np.float32), labels.numpy()


def _log_softmax(logits):
  logits = np.asarray(logits, np.float64)
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("name, smoothing", [("plain", 0), ("averaged", 0.2)])
def test_last_line_of_the_history_is_that_of_the_saved_model(
    runs, data_dir, name, smoothing
):
  folder, _ = runs(name)
  model = _model(folder)
  images, labels = _validation(data_dir)
  outputs = model.predict(images, verbose=0)
  logits, gates = outputs["logits"], outputs["gates"]
  targets = (1 - smoothing) * np.eye(10)[labels] + smoothing / 10
  macs = model.macs
  rates = gates.mean(axis=0)
  expected = {
      "val_accuracy": np.mean(logits.argmax(-1) == labels),
      "val_task_loss": -np.mean(np.sum(targets * _log_softmax(logits), -1)),
      "val_rate_loss": (0.6 - rates.mean()) ** 2,
      "val_open_rate": rates.mean(),
      "val_macs": macs.always + rates @ macs.branches,
  }
  line = training_runs.history(folder)[-1]
  for key, value in expected.items():
    np.testing.assert_allclose(line[key], value, rtol=1e-5, err_msg=key)
  np.testing.assert_allclose(line["val_gate_open_rates"], rates, rtol=1e-6)


def test_saved_model_holds_the_average_of_the_weights_after_each_step(runs):
  folder, recorder = runs("averaged")
  assert len(recorder.weights) == 1 + 2 * STEPS
  average = recorder.weights[1]  # The first step makes it.
  for weights in recorder.weights[2:]:
    average = [
        0.8 * old + 0.2 * new for old, new in zip(average, weights, strict=True)
    ]
  saved = _model(folder).trainable_variables
  for variable, ours in zip(saved, average, strict=True):
    np.testing.assert_allclose(variable, ours, rtol=1e-5, atol=1e-7)
  last = recorder.weights[-1]
  assert (
      np.abs(
          np.concatenate([np.ravel(w) for w in last])
          - np.concatenate([np.ravel(w) for w in average])
      ).max()
      > 0.01
  )


def test_saved_model_holds_the_weights_after_the_last_step(runs):
  folder, recorder = runs("plain")
  saved = _model(folder).trainable_variables
  for variable, last in zip(saved, recorder.weights[-1], strict=True):
    np.testing.assert_array_equal(variable, last)


def test_temperature_falls_to_the_last_step(runs):
  temperatures = [
      line["temperature"] for line in training_runs.history(runs("averaged")[0])
  ]
  # Steps 1 and 3 of 0 to 3, from 1 to 0.25.
  np.testing.assert_allclose(temperatures, [0.75, 0.25], rtol=1e-6)


@pytest.mark.slow
def test_two_replicas_train_as_one(runs):
  pairs = zip(
      training_runs.history(runs("replicas")[0]),
      training_runs.history(runs("plain")[0]),
      strict=True,
  )
  for two, one in pairs:
    assert two.keys() == one.keys()
    for name, value in one.items():
      np.testing.assert_allclose(two[name], value, rtol=1e-3, err_msg=name)


def test_tensorboard_shows_the_history(runs):
  folder, _ = runs("plain")
  for kind, prefix in [("train", ""), ("validation", "val_")]:
    scalars = training_runs.read_scalars(folder / "tensorboard" / kind)
    for line in training_runs.history(folder):
      step = line["epoch"]
      assert scalars["accuracy", step] == line[f"{prefix}accuracy"]
      assert scalars["loss/rate", step] == line[f"{prefix}rate_loss"]
      rates = line[f"{prefix}gate_open_rates"]
      assert scalars["open_rates_blocks/block1", step] == rates[1]


def test_config_is_enough_to_run_it_again(runs, data_dir):
  value = artifacts.read_json(runs("plain")[0] / "config.json")
  config = _config(data_dir, *RUNS["plain"])
  assert value["settings"] == dataclasses.asdict(config)
  assert value["versions"]["keras"] == keras.__version__
  assert value["versions"]["tensorflow"] == tf.__version__
  assert isinstance(value["command"], list)


def test_folder_of_other_settings_is_refused_before_any_work(
    runs, data_dir, monkeypatch
):
  folder, _ = runs("plain")
  before = _files(folder)
  monkeypatch.setattr(image_data, "open_dataset", None)
  other = _config(data_dir, *RUNS["plain"], "--seed=3", "--epochs=4")
  with pytest.raises(ValueError) as error:
    training.run(other, folder)
  assert "epochs: 2 there, 4 here; seed: 0 there, 3 here." in str(error.value)
  assert _files(folder) == before


def test_same_settings_with_data_elsewhere_are_the_same_run(runs):
  folder, _ = runs("plain")
  config = _config("/elsewhere", *RUNS["plain"])
  assert run_files.settings_to_continue(config, folder) == config


def test_damaged_config_is_an_error_that_names_it(data_dir, tmp_path):
  (tmp_path / "config.json").write_text('{"settings": {')
  before = _files(tmp_path)
  with pytest.raises(ValueError, match="config.json is not a whole JSON"):
    training.run(_config(data_dir), tmp_path)
  assert _files(tmp_path) == before


def test_run_whose_network_could_not_be_written_is_not_begun(
    data_dir, tmp_path, monkeypatch
):
  (tmp_path / "model.keras").mkdir()
  monkeypatch.setattr(training, "_Opened", None)
  with pytest.raises(IsADirectoryError, match="Give another --workdir"):
    training.run(_config(data_dir), tmp_path)
  assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]


def test_settings_that_do_not_fit_the_network_leave_no_run(data_dir, tmp_path):
  config = _config(
      data_dir, "--rate_loss=per_layer", "--target_rates=0.5,0.6,0.7"
  )
  with pytest.raises(ValueError, match="3 target rates for 2 blocks"):
    training.run(config, tmp_path)
  assert not _files(tmp_path)


@pytest.mark.usefixtures("heeds_signals")
def test_first_weights_do_not_depend_on_preparing_the_data(
    runs, data_dir, tmp_path, monkeypatch
):
  expected = runs("plain")[1].weights

  def prepare_and_open(*args, _open=image_data.open_dataset, **kwargs):
    keras.utils.set_random_seed(77)  # As if TFDS had drawn numbers.
    return _open(*args, **kwargs)

  monkeypatch.setattr(image_data, "open_dataset", prepare_and_open)
  recorder = Recorder()
  stop = training_runs.SigtermAt(1, signal.SIGHUP)  # Stops it, too.
  with training_runs.further_callbacks(recorder, stop):
    with pytest.raises(loop_lib.Stopped):
      training.run(_config(data_dir, *RUNS["plain"]), tmp_path)
  for ours, theirs in zip(recorder.weights[0], expected[0], strict=True):
    np.testing.assert_array_equal(ours, theirs)


def _one_step(data_dir, folder, *arguments):
  """A run of one step; its history's one line, and its model."""
  config = _config(data_dir, "--batch_size=1024", "--epochs=1", *arguments)
  training.run(config, folder)
  return training_runs.history(folder)[0], _model(folder)


@pytest.mark.parametrize(
    "arguments, loss",
    [
        pytest.param(
            ("--target_rates=0.7",),
            lambda m, p: (0.7 - m.mean()) ** 2,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--rate_share=macs", "--rate_loss_weight=3"),
            lambda m, p: 3 * (0.6 - p @ m) ** 2,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--target_rates=0.95", "--one_sided"),
            lambda m, p: 0.0,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("--target_rates=0.5", "--one_sided"),
            lambda m, p: (0.5 - m.mean()) ** 2,
            marks=pytest.mark.slow,
        ),
        (
            ("--target_rates=0.9,0.3", "--rate_loss=per_layer"),
            lambda m, p: np.mean((np.array([0.9, 0.3]) - m) ** 2),
        ),
        pytest.param(
            ("--rate_loss=none",), lambda m, p: 0.0, marks=pytest.mark.slow
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_rate_loss_is_the_one_asked_for(data_dir, tmp_path, arguments, loss):
  line, model = _one_step(data_dir, tmp_path, *arguments)
  rates = np.array(line["gate_open_rates"])
  assert rates[0] != rates[1]
  shares = np.array(model.macs.branches) / sum(model.macs.branches)
  expected = loss(rates, shares)
  np.testing.assert_allclose(line["rate_loss"], expected, rtol=1e-4, atol=1e-9)
  total = line["task_loss"] + line["rate_loss"]
  np.testing.assert_allclose(line["loss"], total, rtol=1e-6)


@pytest.mark.slow
def test_blocks_count_by_the_times_that_the_run_measured(data_dir, tmp_path):
  line, model = _one_step(data_dir, tmp_path, "--rate_share=time")
  found = json.loads((tmp_path / "block_times.json").read_text())["blocks"]
  assert [block["name"] for block in found] == list(model.macs.names)
  times = np.array([block["seconds"] for block in found])
  assert times.min() > 0
  excess = 0.6 - times @ line["gate_open_rates"] / times.sum()
  np.testing.assert_allclose(line["rate_loss"], excess**2, rtol=1e-4, atol=1e-9)
  assert model.rate_loss.share == times.tolist()


@pytest.mark.slow
def test_ungated_network_runs_all_blocks(data_dir, tmp_path):
  line, model = _one_step(data_dir, tmp_path, "--gate=none")
  assert line["gate_open_rates"] == line["val_gate_open_rates"] == [1.0, 1.0]
  assert line["macs"] == model.macs.dense
  assert line["rate_loss"] == 0.0
  assert "temperature" not in line


@pytest.mark.slow
def test_stochastic_depth_drops_blocks_only_while_training(data_dir, tmp_path):
  line, _ = _one_step(data_dir, tmp_path, "--gate=stochastic_depth")
  # Survival 0.8: four standard errors over 1,024 examples.
  tolerance = 4 * np.sqrt(0.8 * 0.2 / 1024)
  assert np.abs(np.array(line["gate_open_rates"]) - 0.8).max() < tolerance
  assert line["val_gate_open_rates"] == [1.0, 1.0]
  assert line["rate_loss"] == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision",
    [pytest.param("mixed_bfloat16", marks=pytest.mark.slow), "mixed_float16"],
)
def test_mixed_precision_is_of_the_branches_only(data_dir, tmp_path, precision):
  line, model = _one_step(data_dir, tmp_path, f"--precision={precision}")
  assert np.isfinite(line["val_loss"])
  compute = precision.removeprefix("mixed_")
  for block in pgates.gated_blocks(model):
    assert block.branch.layers[0].compute_dtype == compute
    assert block.gate.compute_dtype == "float32"
  assert {v.dtype for v in model.trainable_variables} == {"float32"}
  assert model.output["logits"].dtype == "float32"


def test_initial_weights_come_from_the_other_run(
    data_dir, tmp_path, monkeypatch
):
  loaded = []

  def load_and_end(model, path):
    loaded.append((type(model), pathlib.Path(path)))
    raise loop_lib.Stopped

  monkeypatch.setattr(initial_weights, "load_initial_weights", load_and_end)
  with pytest.raises(loop_lib.Stopped):
    _one_step(data_dir, tmp_path, f"--init_from={tmp_path / 'other'}")
  assert loaded == [(pgates.GatedModel, tmp_path / "other")]


@pytest.mark.slow
def test_run_that_goes_on_needs_its_first_weights_no_more(
    data_dir, tmp_path, monkeypatch
):
  loaded = []
  monkeypatch.setattr(
      initial_weights,
      "load_initial_weights",
      lambda model, path: loaded.append(path),
  )
  for folder in ("run", "run", "other"):
    _one_step(data_dir, tmp_path / folder, "--init_from=source")
  assert [pathlib.Path(path).name for path in loaded] == ["source"] * 2


def test_second_process_in_a_folder_is_refused(data_dir, tmp_path):
  with locks.only_one(tmp_path):
    with pytest.raises(locks.InUse, match=f"at work in {tmp_path}"):
      _one_step(data_dir, tmp_path)
  assert not list(tmp_path.iterdir())


def test_data_that_have_changed_end_the_run(runs, data_dir, tmp_path):
  folder = shutil.copytree(runs("plain")[0], tmp_path / "run")
  value = artifacts.read_json(folder / "config.json")
  value["data"]["classes"][3] = "drei"
  artifacts.write_json(folder / "config.json", value)
  with pytest.raises(ValueError, match=r"gone: drei; new: 3\)"):
    training.run(_config(data_dir, *RUNS["plain"]), folder)


@pytest.mark.slow
def test_loss_that_is_not_finite_ends_the_run_with_its_name(data_dir, tmp_path):
  config = _config(data_dir, "--learning_rate=1e30", "--epochs=1")
  with pytest.raises(FloatingPointError, match="task_loss is .* at step"):
    training.run(config, tmp_path)


@pytest.mark.slow
def test_run_that_diverges_in_its_last_step_saves_no_network(
    data_dir, tmp_path
):
  # One step: its loss is that of the first weights.
  config = _config(
      data_dir, "--learning_rate=1e30", "--epochs=1", "--batch_size=1024"
  )
  with pytest.raises(FloatingPointError, match="val_task_loss is nan after"):
    training.run(config, tmp_path)
  assert not list(tmp_path.rglob("*.keras"))


@pytest.mark.slow
def test_compiled_run_is_the_same_to_rounding(data_dir, tmp_path):
  # Without gates, for whose noise XLA draws other numbers.
  expected, _ = _one_step(data_dir, tmp_path / "eager", "--gate=none")
  tf.config.run_functions_eagerly(False)
  try:
    recorder = Recorder()
    with training_runs.further_callbacks(recorder):
      arguments = ("--gate=none", "--jit_compile")
      line, _ = _one_step(data_dir, tmp_path / "compiled", *arguments)
  finally:
    tf.config.run_functions_eagerly(True)
  assert recorder.model.jit_compile
  for name, value in expected.items():
    np.testing.assert_allclose(line[name], value, rtol=1e-3, err_msg=name)


@pytest.fixture(name="damaged", scope="module")
def _damaged(tmp_path_factory):
  """A folder of images, and the paths of the four that are damaged."""
  path = tmp_path_factory.mktemp("damaged")
  return path, damaged_images.store_folder(path)


def _folder_config(path):
  return training_runs.config(
      f"--image_folder={path}",
      "--image_size=8",
      "--batch_size=10",
      "--epochs=1",
  )


@pytest.mark.slow
def test_damaged_images_are_skipped_and_counted(damaged, tmp_path, capsys):
  path, bad = damaged
  # As many are damaged of the validation images.
  training.run(_folder_config(path), tmp_path, max_bad_examples=2 * len(bad))
  assert "Skipped 8 examples" in capsys.readouterr().out
  by_map = options.Options(strategies=["map"])
  value = run.evaluate_run(tmp_path, by_map)
  assert value["examples"] == 36
  assert sorted(value["bad_examples"]) == sorted(
      name.replace("/train/", "/test/") for name in bad
  )
  with pytest.raises(image_data.TooManyBadExamples, match="More than 3"):
    run.evaluate_run(tmp_path, by_map, max_bad_examples=3)


def test_too_many_damaged_images_stop_the_run(damaged, tmp_path):
  path, _ = damaged
  with pytest.raises(
      image_data.TooManyBadExamples, match="More than 3 examples"
  ):
    training.run(_folder_config(path), tmp_path, max_bad_examples=3)


def test_data_service_is_not_for_several_workers(data_dir, tmp_path):
  config = _config(data_dir, "--distribution=multi_worker")
  with pytest.raises(ValueError, match="--data_service is for one process"):
    training.run(config, tmp_path, data_service="grpc://localhost:1")
  assert not any(tmp_path.iterdir())


def test_settings_that_the_data_do_not_allow_leave_no_folder(
    data_dir, tmp_path
):
  with pytest.raises(ValueError, match="RandAugment is for images of 3"):
    training.run(_config(data_dir, "--rand_augment=0.3"), tmp_path)
  assert not (tmp_path / "config.json").exists()
