"""Tests of `trainers.training.loop`."""

import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from file_io import artifacts
from file_io import scratch
from tests.helpers import parameters
from tests.helpers import training_runs
from trainers.training import loop as loop_lib
from trainers.training import run_checkpoints
from trainers.training import run_files

EPOCHS, STEPS, BATCH = 2, 2, 8


class Killed(BaseException):
  """In place of SIGKILL: nobody catches it."""


class _Call(keras.callbacks.Callback):
  """Calls a function once, at the n-th of an event."""

  def __init__(self, event, count, function):
    super().__init__()
    self._left = count
    self._function = function
    setattr(self, event, self._count)

  def _count(self, *unused, **also_unused):
    self._left -= 1
    if not self._left:
      self._function()


class _Writer:
  """In place of an `EpochWriter`."""

  def __init__(self):
    self.records = []

  def write(self, record):
    self.records.append(record)


def _batches(num_batches, *, seed, first=0):
  generator = np.random.default_rng(seed)
  images = generator.uniform(0, 255, (num_batches * BATCH, 8, 8, 1))
  labels = generator.integers(10, size=num_batches * BATCH)
  pair = (images.astype(np.float32), labels)
  return tf.data.Dataset.from_tensor_slices(pair).batch(BATCH).skip(first)


def _run(
    folder,
    *callbacks,
    loop_callback=lambda loop: (),
    writer=None,
    validation=None,
    save_best=None,
    checkpoint_steps=1000,
):
  """Starts or continues a run as `training.run` does."""
  model = training_runs.small_model()
  checkpoints = run_checkpoints.RunCheckpoints(
      folder / "checkpoints", model, steps_per_epoch=STEPS
  )
  position = checkpoints.restore()
  loop = loop_lib.Loop(
      model,
      epochs=EPOCHS,
      steps_per_epoch=STEPS,
      checkpoints=checkpoints,
      checkpoint_steps=checkpoint_steps,
      files=run_files.RunFiles(folder, writer or _Writer(), save_best),
  )
  first = position.epoch * STEPS + position.step
  path = run_files.history_path(folder)
  loop.run(
      _batches(EPOCHS * STEPS, seed=0, first=first),
      validation or _batches(2, seed=1),
      position=position,
      history=artifacts.read_json_lines(path)[: position.epoch],
      callbacks=[*callbacks, *loop_callback(loop)],
  )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """The folder of a run that was never interrupted."""
  folder = tmp_path_factory.mktemp("whole")
  _run(folder)
  return folder


def _assert_same_run(folder, whole):
  assert training_runs.history(folder) == training_runs.history(whole)
  state = training_runs.newest_state(folder)
  assert state == training_runs.newest_state(whole)


def test_epochs_are_those_of_fit(whole):
  model = training_runs.small_model()
  expected = model.fit(
      _batches(EPOCHS * STEPS, seed=0),
      validation_data=_batches(2, seed=1),
      epochs=EPOCHS,
      steps_per_epoch=STEPS,
      verbose=0,
  ).history
  lines = training_runs.history(whole)
  assert [line["epoch"] for line in lines] == [1, 2]
  for name, values in expected.items():
    np.testing.assert_allclose(
        [line[name] for line in lines], values, rtol=1e-6
    )
  names = {*expected, "epoch", "learning_rate", "temperature"}
  rates = {"gate_open_rates", "val_gate_open_rates"}
  assert lines[0].keys() == names | rates
  for line in lines:
    for prefix in ("", "val_"):
      mean = np.mean(line[f"{prefix}gate_open_rates"])
      np.testing.assert_allclose(line[f"{prefix}open_rate"], mean, rtol=1e-6)
    assert line["learning_rate"] == np.float32(0.05)
    assert line["temperature"] == 1.0


def test_writer_gets_each_line_and_callbacks_each_event(tmp_path, whole):
  events = []
  writer = _Writer()
  callbacks = [
      keras.callbacks.LambdaCallback(
          on_epoch_begin=lambda epoch, logs: events.append(epoch),
          on_train_batch_end=lambda step, logs: events.append("step"),
          on_epoch_end=lambda epoch, logs: events.append(logs["val_loss"]),
          on_train_end=lambda logs: events.append("end"),
      )
  ]
  _run(tmp_path, *callbacks, writer=writer)
  lines = artifacts.read_json_lines(tmp_path / "history.jsonl")
  assert writer.records == lines
  for line in lines:
    # The rest of the epoch is validation.
    assert 0 < STEPS * line["seconds_per_step"] < line["seconds"]
  expected = []
  for epoch, line in enumerate(training_runs.history(whole)):
    expected += [epoch, "step", "step", line["val_loss"]]
  assert events == [*expected, "end"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "step",
    [
        pytest.param(1, marks=pytest.mark.slow),
        2,
        pytest.param(3, marks=pytest.mark.slow),
        pytest.param(4, marks=pytest.mark.slow),
    ],
)
def test_stopped_run_continues_as_one_never_stopped(tmp_path, whole, step):
  def stop(loop):
    return [_Call("on_train_batch_end", step, loop.request_stop)]

  with pytest.raises(loop_lib.Stopped):
    _run(tmp_path, loop_callback=stop)
  epoch, within = divmod(step - 1, STEPS)
  path = tmp_path / f"checkpoints/step-{step:09d}/position.json"
  assert artifacts.read_json(path) == {"epoch": epoch, "step": within + 1}
  assert len(training_runs.history(tmp_path)) == epoch
  _run(tmp_path)
  _assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_stop_during_validation_ends_the_epoch_first(tmp_path, whole):
  def stop(loop):
    return [_Call("on_test_begin", 1, loop.request_stop)]

  with pytest.raises(loop_lib.Stopped):
    _run(tmp_path, loop_callback=stop)
  assert training_runs.history(tmp_path) == training_runs.history(whole)[:1]
  _run(tmp_path)
  _assert_same_run(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    "event, count",
    [
        pytest.param("on_train_begin", 1, marks=pytest.mark.slow),
        pytest.param("on_train_batch_begin", 1, marks=pytest.mark.slow),
        ("on_train_batch_end", 3),
        pytest.param("on_test_begin", 2, marks=pytest.mark.slow),
        pytest.param("on_test_batch_end", 3, marks=pytest.mark.slow),
        ("on_epoch_end", 1),
        pytest.param("on_train_end", 1, marks=pytest.mark.slow),
    ],
)
def test_run_killed_in_an_event_continues_as_one_never_killed(
    tmp_path, whole, event, count
):
  def kill():
    raise Killed

  with pytest.raises(Killed):
    _run(tmp_path, _Call(event, count, kill))
  _run(tmp_path)
  _assert_same_run(tmp_path, whole)


def test_killed_run_continues_at_a_checkpoint_within_the_epoch(tmp_path, whole):
  def kill():
    raise Killed

  with pytest.raises(Killed):
    _run(tmp_path, _Call("on_train_batch_begin", 4, kill), checkpoint_steps=1)
  folder = tmp_path / "checkpoints"
  # Those of the second step, at the epoch's end, and of the third.
  names = sorted(path.name for path in folder.iterdir())
  assert names == ["step-000000002", "step-000000003"]
  position = artifacts.read_json(folder / names[1] / "position.json")
  assert position == {"epoch": 1, "step": 1}
  _run(tmp_path)
  _assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_checkpoints_within_an_epoch_come_every_so_many_steps(
    tmp_path, monkeypatch
):
  saved = []
  monkeypatch.setattr(
      run_checkpoints.RunCheckpoints,
      "save",
      lambda self, position, history: saved.append(
          (position.epoch, position.step, len(history))
      ),
  )
  monkeypatch.setattr(sys.modules[__name__], "STEPS", 5)
  _run(tmp_path, checkpoint_steps=2)
  assert [position[:2] for position in saved] == [
      *((0, 2), (0, 4), (1, 0), (1, 2), (1, 4), (2, 0))
  ]
  # The history is that of whole epochs.
  assert [lines for _, _, lines in saved] == [0, 0, 1, 1, 1, 2]


# What an epoch's end writes, in order: a kill before and after each.
WRITES = [
    (artifacts, "write_json_lines"),
    (_Writer, "write"),
    (artifacts, "write_json"),
    (run_checkpoints.RunCheckpoints, "save"),
]


@pytest.mark.parametrize(
    "before",
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["before", "after"],
)
@pytest.mark.parametrize(
    "owner, name",
    parameters.slow_but(WRITES[-1:], WRITES),
    ids=[n for _, n in WRITES],
)
def test_run_killed_at_a_write_continues_as_one_never_killed(
    tmp_path, whole, monkeypatch, owner, name, before
):
  write, calls = getattr(owner, name), []

  def write_and_die(*args):
    calls.append(args)
    if len(calls) < 2:
      return write(*args)
    if not before:
      write(*args)
    raise Killed

  with monkeypatch.context() as patch:
    patch.setattr(owner, name, write_and_die)
    with pytest.raises(Killed):
      _run(tmp_path)
  _run(tmp_path)
  _assert_same_run(tmp_path, whole)


@pytest.mark.slow
def test_run_killed_while_removing_an_old_checkpoint_continues(
    tmp_path, whole, monkeypatch
):
  with pytest.raises(loop_lib.Stopped):
    _run(
        tmp_path,
        loop_callback=lambda loop: [
            _Call("on_train_batch_end", 1, loop.request_stop)
        ],
    )

  def remove_half(path, what):
    assert what == "an old checkpoint"
    (path / "state.index").unlink()
    raise Killed

  with monkeypatch.context() as patch:
    names = {**vars(scratch), "remove": remove_half}
    patch.setattr(run_checkpoints, "scratch", types.SimpleNamespace(**names))
    with pytest.raises(Killed):
      _run(tmp_path)
  assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 3
  _run(tmp_path)
  _assert_same_run(tmp_path, whole)


def test_finished_run_trains_no_more(tmp_path):
  _run(tmp_path)
  state = training_runs.newest_state(tmp_path)
  lines = artifacts.read_json_lines(tmp_path / "history.jsonl")
  _run(tmp_path)
  assert artifacts.read_json_lines(tmp_path / "history.jsonl") == lines
  assert training_runs.newest_state(tmp_path) == state


def test_validation_that_is_not_finite_ends_the_run(tmp_path):
  validation = _batches(2, seed=1).map(lambda x, y: (x + np.inf, y))
  with pytest.raises(FloatingPointError, match="val_task_loss is nan after"):
    _run(tmp_path, validation=validation)
  # Nothing was written that a later run would take for good.
  assert not (tmp_path / "history.jsonl").exists()
  assert not run_checkpoints.existing(tmp_path / "checkpoints")


def test_best_is_saved_after_its_epoch_also_in_a_continued_run(
    tmp_path, monkeypatch
):
  saved = []
  monkeypatch.setattr(run_files, "_is_best", lambda history: len(history) == 2)

  def save_best():
    saved.append(len(artifacts.read_json_lines(tmp_path / "history.jsonl")))

  def killed():
    raise Killed

  with pytest.raises(Killed):
    _run(
        tmp_path,
        _Call("on_train_batch_end", STEPS + 1, killed),
        save_best=save_best,
    )
  assert not saved
  _run(tmp_path, save_best=save_best)
  assert saved == [2]
