"""Tests of `trainers.training.run_files`."""

import dataclasses

import keras
import numpy as np
import pytest

from file_io import artifacts
import image_data
import pgates
from tests.helpers import training_runs
from trainers.training import run_files


def test_saving_leaves_the_weights_and_writes_their_average(tmp_path):
  model = training_runs.small_model()
  optimizer = pgates.CoupledSGD(0.5, use_ema=True, ema_momentum=0.5)
  model.compile(optimizer, run_eagerly=True)
  optimizer.build(model.trainable_variables)
  steps = [[np.asarray(v) for v in model.trainable_variables]]
  images = np.random.default_rng(0).uniform(0, 255, (8, 8, 8, 1))
  for _ in range(2):
    model.train_on_batch(images.astype(np.float32), np.arange(8))
    steps.append([np.asarray(v) for v in model.trainable_variables])
  run_files.save_model(model, tmp_path / "model.keras")
  saved = keras.models.load_model(tmp_path / "model.keras", compile=False)
  for *values, now, written in zip(
      *steps, model.trainable_variables, saved.trainable_variables, strict=True
  ):
    first, second, third = values
    np.testing.assert_array_equal(now, third)
    # It begins with the weights after the first step.
    average = 0.5 * second + 0.5 * third
    np.testing.assert_allclose(written, average, rtol=1e-5, atol=1e-6)
    assert np.any(np.asarray(written) != third) or np.all(first == third)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
  model = training_runs.small_model()
  path = tmp_path / "model.keras"
  run_files.save_model(model, path)
  before = path.read_bytes()
  kernel = model.trainable_weights[0]
  kernel.assign(np.full(kernel.shape, np.nan))
  with pytest.raises(FloatingPointError, match=f"{kernel.path} is not finite"):
    run_files.save_model(model, path)
  assert path.read_bytes() == before


def test_best_epoch_is_that_of_the_highest_validation_accuracy():
  def is_best(*accuracies):
    return run_files._is_best([{"val_accuracy": a} for a in accuracies])

  assert is_best(0.0) and is_best(0.1, 0.2)
  assert not is_best(0.2, 0.2) and not is_best(0.3, 0.1, 0.2)
  # One that was not finite is none.
  assert is_best(None, 0.1) and not is_best(0.1, None)


class _Writer:
  """In place of TensorBoard's."""

  def __init__(self):
    self.lines = []

  def write(self, line):
    self.lines.append(line)


def test_epoch_is_written_to_the_history_and_the_best_is_saved(tmp_path):
  writer, saved = _Writer(), []
  files = run_files.RunFiles(tmp_path, writer, lambda: saved.append(len(lines)))
  lines = []
  for accuracy in (0.5, 0.4, 0.6):
    lines.append({"epoch": len(lines) + 1, "val_accuracy": accuracy})
    files.write_epoch(lines)
    path = run_files.history_path(tmp_path)
    assert artifacts.read_json_lines(path) == lines
  assert writer.lines == lines
  assert saved == [1, 3]


def test_other_workers_write_nothing(tmp_path):
  run_files.NoFiles().write_epoch([{"epoch": 1, "val_accuracy": 0.5}])
  assert run_files.RunFiles.is_chief and not run_files.NoFiles.is_chief
  assert not list(tmp_path.iterdir())


def test_folder_of_other_settings_is_refused(tmp_path):
  config = training_runs.config("--seed=1")
  # There is none yet.
  assert run_files.settings_to_continue(config, tmp_path) == config
  settings = dataclasses.asdict(config)
  artifacts.write_json(tmp_path / "config.json", {"settings": settings})
  assert run_files.settings_to_continue(config, tmp_path) == config
  other = dataclasses.replace(config, seed=2)
  with pytest.raises(ValueError, match="seed: 1 there, 2 here"):
    run_files.settings_to_continue(other, tmp_path)


@pytest.mark.parametrize("flags", [(), ("--noexif_orientation",)])
def test_run_from_before_a_setting_goes_on_as_it_began(tmp_path, flags):
  config = training_runs.config(*flags)
  settings = dataclasses.asdict(config)
  del settings["exif_orientation"]
  artifacts.write_json(tmp_path / "config.json", {"settings": settings})
  received = run_files.settings_to_continue(config, tmp_path)
  assert not received.exif_orientation
  assert received == dataclasses.replace(config, exif_orientation=False)


def test_config_is_written_once(data_dir, tmp_path):
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  config = training_runs.config("--seed=1")
  run_files.write_config(config, dataset, tmp_path)
  value = artifacts.read_json(tmp_path / "config.json")
  assert value["settings"] == dataclasses.asdict(config)
  assert value["versions"]["keras"] == keras.__version__
  run_files.write_config(training_runs.config("--seed=2"), dataset, tmp_path)
  assert artifacts.read_json(tmp_path / "config.json") == value


FIRST, SECOND = (
    f'{{"epoch": {epoch}, "val_accuracy": null}}\n' for epoch in (1, 2)
)


@pytest.mark.parametrize(
    ("content", "is_kept"),
    [
        (None, False),
        (FIRST + SECOND[:7], False),
        (SECOND, False),
        (FIRST + SECOND, True),
    ],
)
def test_history_that_is_lost_or_damaged_is_that_of_the_checkpoint(
    tmp_path, caplog, content, is_kept
):
  path = tmp_path / "history.jsonl"
  if content is not None:
    path.write_text(content)
  run_files.restore_history(tmp_path, [{"epoch": 1, "val_accuracy": None}])
  assert ("is not that of the run" in caplog.text) != is_kept
  assert path.read_text() == (content if is_kept else FIRST)
