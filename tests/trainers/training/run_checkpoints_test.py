"""Tests of `trainers.training.run_checkpoints`."""

import logging
import pathlib
import resource
import shutil

import numpy as np
import pytest
import tensorflow as tf

from file_io import artifacts
from tests.helpers import parameters
from tests.helpers import training_runs
from trainers.training import run_checkpoints
from trainers.training.run_checkpoints import Position

_IMAGES = np.random.default_rng(0).uniform(0, 255, (16, 8, 8, 1))
_LABELS = np.arange(16) % 10


def _checkpoints(folder, model, **kwargs):
  return run_checkpoints.RunCheckpoints(
      folder, model, steps_per_epoch=4, **kwargs
  )


def _step(model):
  model.train_on_batch(_IMAGES.astype(np.float32), _LABELS)


def _state(model):
  metrics = [v for metric in model.metrics for v in metric.variables]
  variables = [*model.variables, *model.optimizer.variables, *metrics]
  return [np.asarray(variable).tolist() for variable in variables]


@pytest.fixture(scope="module")
def saved_once(tmp_path_factory):
  """A folder with checkpoints after 1, 2 and 3 steps, and their states."""
  folder = tmp_path_factory.mktemp("checkpoints")
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model, keep=3)
  states = {}
  for step in (1, 2, 3):
    _step(model)
    checkpoints.save(Position(0, step))
    states[step] = _state(model)
  return folder, states


@pytest.fixture
def saved(saved_once, tmp_path):
  """The same, to be changed."""
  folder, states = saved_once
  return shutil.copytree(folder, tmp_path / "checkpoints"), states


def _newest(folder):
  return folder / "step-000000003"


def _cut(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 255
  path.write_bytes(data)


def _data(folder):
  return next(folder.glob("state.data-*"))


DAMAGES = {
    "data cut": lambda folder: _cut(_data(folder)),
    "data flipped": lambda folder: _flip(_data(folder)),
    "data empty": lambda folder: _data(folder).write_bytes(b""),
    "data missing": lambda folder: _data(folder).unlink(),
    "index cut": lambda folder: _cut(folder / "state.index"),
    "index empty": lambda folder: (folder / "state.index").write_bytes(b""),
    "index missing": lambda folder: (folder / "state.index").unlink(),
    "position cut": lambda folder: _cut(folder / "position.json"),
    "position empty": lambda folder: (folder / "position.json").write_text(""),
    "position missing": lambda folder: (folder / "position.json").unlink(),
    **{
        f"position {text}": lambda folder, text=text: (
            folder / "position.json"
        ).write_text(text)
        for text in (
            "[1]",
            "null",
            '{"epoch": "0", "step": 3}',
            '{"epoch": true, "step": 3}',
            '{"epoch": 1, "step": -1}',
            # Of another step than the folder's name.
            '{"epoch": 9, "step": 3}',
        )
    },
}


def test_restored_run_continues_as_the_saved_one(saved):
  folder, states = saved
  model = training_runs.small_model(seed=1)
  assert _state(model) != states[3]
  assert _checkpoints(folder, model).restore() == Position(0, 3)
  assert _state(model) == states[3]
  uninterrupted = training_runs.small_model()
  for _ in range(5):
    _step(uninterrupted)
  for _ in range(2):
    _step(model)
  # Gate noise, momentum, batch norms, metrics and all.
  assert _state(model) == _state(uninterrupted)


@pytest.mark.parametrize(
    "damage",
    parameters.slow_but(
        [
            *("data flipped", "index empty", "position missing"),
            *("position null", 'position {"epoch": 9, "step": 3}'),
        ],
        DAMAGES,
    ),
)
def test_damaged_checkpoint_is_passed_over_with_a_warning(
    saved, damage, caplog
):
  folder, states = saved
  DAMAGES[damage](_newest(folder))
  model = training_runs.small_model(seed=1)
  with caplog.at_level(logging.WARNING, logger="absl"):
    assert _checkpoints(folder, model).restore() == Position(0, 2)
  assert _state(model) == states[2]
  assert f"{_newest(folder)} is damaged" in caplog.text
  # Else it would be kept as the newest, in place of those written now.
  assert not _newest(folder).exists()


def test_worker_that_does_not_write_removes_nothing(saved):
  folder, _ = saved
  _cut(_data(_newest(folder)))
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model, writes=False)
  assert checkpoints.restore() == Position(0, 2)
  assert _newest(folder).exists()


def test_good_checkpoints_are_kept_where_newer_ones_are_damaged(saved):
  folder, states = saved
  _cut(_data(_newest(folder)))
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model, keep=1)
  assert checkpoints.restore() == Position(0, 2)
  shutil.rmtree(folder / "step-000000001")
  _step(model)
  # Before the step of the damaged one comes again.
  (folder / "step-000000002").rename(folder / "step-000000000")
  checkpoints.save(Position(0, 1))
  fresh = training_runs.small_model(seed=1)
  assert _checkpoints(folder, fresh).restore() == Position(0, 1)
  assert _state(fresh) == states[3]


def test_no_whole_checkpoint_is_an_error(saved):
  folder, _ = saved
  for path in folder.iterdir():
    _cut(_data(path))
  with pytest.raises(ValueError, match=f"None of the checkpoints in {folder}"):
    _checkpoints(folder, training_runs.small_model()).restore()


def test_checkpoint_of_another_network_is_an_error(saved):
  folder, _ = saved
  other = training_runs.dense_network(training_runs.config("--gate=none"))
  other.compile("sgd")
  with pytest.raises(ValueError, match="can be read"):
    _checkpoints(folder, other).restore()


def test_run_without_checkpoints_is_at_its_start(tmp_path):
  model = training_runs.small_model()
  before = _state(model)
  for folder in (tmp_path, tmp_path / "absent"):
    assert _checkpoints(folder, model).restore() == Position(0, 0)
  assert _state(model) == before


def test_half_written_checkpoint_of_a_killed_run_is_removed(saved):
  folder, _ = saved
  whole = folder / ".writing-abc" / "whole"
  whole.mkdir(parents=True)
  (whole / "position.json").write_text('{"epoch": 9, "step": 0}')
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model)
  assert checkpoints.restore() == Position(0, 3)
  assert not whole.parent.exists()
  checkpoints.save(Position(1, 0))
  assert checkpoints.restore() == Position(1, 0)


def test_leftover_that_cannot_be_removed_is_no_damage(
    saved, monkeypatch, caplog
):
  folder, states = saved
  (folder / ".writing-file").touch()  # A file, where a folder is expected.
  (folder / ".writing-folder").mkdir()
  model = training_runs.small_model(seed=1)

  def fail(path):
    raise PermissionError(f"Not permitted: {path}")

  monkeypatch.setattr(shutil, "rmtree", fail)
  with caplog.at_level(logging.WARNING, logger="absl"):
    assert _checkpoints(folder, model).restore() == Position(0, 3)
  assert _state(model) == states[3]
  assert "damaged" not in caplog.text and ".writing-folder" in caplog.text
  assert len(run_checkpoints.existing(folder)) == 3
  assert not (folder / ".writing-file").exists()


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied"),
        OSError(5, "Input/output error"),
        tf.errors.UnknownError(None, None, "Input/output error"),
    ],
    ids=["permission", "disk", "tensorflow"],
)
def test_checkpoint_that_cannot_be_read_now_is_kept(saved, monkeypatch, error):
  folder, _ = saved
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model)

  def fail(path):
    raise error

  with monkeypatch.context() as patch:
    patch.setattr(artifacts, "read_json", fail)
    with pytest.raises(OSError, match="000000003 cannot be read.*Nothing was"):
      checkpoints.restore()
  assert len(run_checkpoints.existing(folder)) == 3
  assert checkpoints.restore() == Position(0, 3)


def test_damaged_checkpoint_that_cannot_be_removed_ends_the_run(
    saved, monkeypatch
):
  folder, _ = saved
  _cut(_data(_newest(folder)))

  def fail(path):
    raise PermissionError(f"Not permitted: {path}")

  monkeypatch.setattr(shutil, "rmtree", fail)
  # It would stay the newest, in place of good ones.
  with pytest.raises(OSError, match="000000003 is damaged, and cannot be rem"):
    _checkpoints(folder, training_runs.small_model(), keep=1).restore()
  assert len(run_checkpoints.existing(folder)) == 3


def test_kill_between_the_two_renames_leaves_the_new_checkpoint(
    tmp_path, monkeypatch
):
  model = training_runs.small_model()
  checkpoints = _checkpoints(tmp_path, model, keep=1)
  checkpoints.save(Position(0, 4))
  rename = pathlib.Path.rename

  class Killed(BaseException):
    pass

  def rename_once(path, target):
    if path.name == "whole":
      # As a killed process leaves it, which removes nothing.
      shutil.copytree(path.parent, tmp_path / ".writing-killed")
      raise Killed
    return rename(path, target)

  with monkeypatch.context() as patch:
    patch.setattr(pathlib.Path, "rename", rename_once)
    with pytest.raises(Killed):
      checkpoints.save(Position(1, 0))
  assert not run_checkpoints.existing(tmp_path)
  assert checkpoints.restore() == Position(1, 0)
  assert [path.name for path in tmp_path.iterdir()] == ["step-000000004"]


def test_only_the_newest_stay(tmp_path):
  checkpoints = _checkpoints(tmp_path, training_runs.small_model())
  for position in [Position(0, 1), Position(1, 2), Position(9), Position(10)]:
    checkpoints.save(position)
  names = sorted(path.name for path in tmp_path.iterdir())
  assert names == ["step-000000036", "step-000000040"]


def test_end_of_an_epoch_takes_the_place_of_its_last_step(tmp_path):
  checkpoints = _checkpoints(tmp_path, training_runs.small_model())
  checkpoints.save(Position(0, 4))
  checkpoints.save(Position(1, 0))
  assert [path.name for path in tmp_path.iterdir()] == ["step-000000004"]
  assert checkpoints.restore() == Position(1, 0)


def test_damaged_checkpoint_is_replaced_when_its_step_comes_again(saved):
  folder, states = saved
  _cut(_data(_newest(folder)))
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model, keep=3)
  checkpoints.restore()
  _step(model)
  checkpoints.save(Position(0, 3))
  fresh = training_runs.small_model(seed=1)
  assert _checkpoints(folder, fresh).restore() == Position(0, 3)
  assert _state(fresh) == states[3]


@pytest.mark.parametrize(
    "owner, function",
    [(artifacts, "write_json"), (pathlib.Path, "rename")],
    ids=["write", "rename"],
)
def test_failed_save_leaves_the_checkpoints_before(
    saved, monkeypatch, owner, function
):
  folder, states = saved
  model = training_runs.small_model(seed=1)

  def fail(*unused):
    raise OSError("No space left on device")

  with monkeypatch.context() as patch:
    patch.setattr(owner, function, fail)
    with pytest.raises(OSError, match="No space"):
      _checkpoints(folder, model).save(Position(1, 0))
  assert len(list(folder.iterdir())) == 3
  assert _checkpoints(folder, model).restore() == Position(0, 3)
  assert _state(model) == states[3]


def test_disk_that_is_full_leaves_what_was_saved(saved):
  folder, states = saved
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model)
  for _ in range(4):
    _step(model)
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  # As a disk does that has room for a thousand bytes.
  resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
  try:
    with pytest.raises(OSError, match="could not be written.*same command"):
      checkpoints.save(Position(1, 0))
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
  names = sorted(path.name for path in folder.iterdir())
  assert names == [f"step-{step:09d}" for step in (1, 2, 3)]
  assert checkpoints.restore() == Position(0, 3)
  assert _state(model) == states[3]


def test_what_cannot_be_removed_does_not_end_the_run(
    saved, monkeypatch, caplog
):
  folder, _ = saved
  model = training_runs.small_model()
  checkpoints = _checkpoints(folder, model, keep=1)

  def fail(path):
    raise PermissionError(f"Not permitted: {path}")

  with monkeypatch.context() as patch:
    patch.setattr(shutil, "rmtree", fail)
    with caplog.at_level(logging.WARNING, logger="absl"):
      checkpoints.save(Position(1, 0))
  assert f"{folder / 'step-000000001'}, an old checkpoint, can" in caplog.text
  (leftover,) = folder.glob(".writing-*")
  assert f"{leftover}, a leftover, cannot be removed" in caplog.text
  assert checkpoints.restore() == Position(1, 0)
  assert not leftover.exists()


@pytest.mark.parametrize(
    "name", parameters.slow_after(1, ["seed[1]", "a*b?", "back\\slash"])
)
def test_folder_that_tensorflow_takes_for_a_pattern_is_its_own(tmp_path, name):
  """It would not be read, or `seed1` in place of `seed[1]`."""
  model = training_runs.small_model()
  _checkpoints(tmp_path / "seed1", model).save(Position(0, 1))
  _step(model)
  checkpoints = _checkpoints(tmp_path / name, model)
  checkpoints.save(Position(0, 1))
  state = _state(model)
  fresh = training_runs.small_model(seed=1)
  assert _checkpoints(tmp_path / name, fresh).restore() == Position(0, 1)
  assert _state(fresh) == state


def test_checkpoint_holds_the_history(tmp_path):
  checkpoints = _checkpoints(tmp_path, training_runs.small_model())
  lines = [{"epoch": 1, "val_accuracy": 0.5}]
  checkpoints.save(Position(1, 0), lines)
  assert checkpoints.history(Position(1, 0)) == lines
  # As in a checkpoint of an older version.
  (path,) = tmp_path.glob("step-*/history.jsonl")
  path.unlink()
  assert checkpoints.restore() == Position(1, 0)
  assert checkpoints.history(Position(1, 0)) is None
