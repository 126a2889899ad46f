"""Tests of the program `trainers.train`."""

import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

from absl import app
import keras
import numpy as np
import pytest

from tests.helpers import programs
from tests.helpers import training_runs
from trainers import train

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _main(workdir, data_dir, *arguments):
  arguments = (*training_runs.TINY, *arguments)
  with training_runs.parsed(
      f"--workdir={workdir}", f"--data_dir={data_dir}", *arguments
  ):
    train.main(["train"])


def _weights(workdir):
  model = keras.models.load_model(workdir / "model.keras")
  return [np.asarray(variable) for variable in model.weights]


def _assert_same_run(ours, theirs):
  assert training_runs.history(ours) == training_runs.history(theirs)
  state = training_runs.newest_state(ours)
  assert state == training_runs.newest_state(theirs)
  for a, b in zip(_weights(ours), _weights(theirs), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_program_stopped_by_sigterm_continues_as_one_never_stopped(
    data_dir, tmp_path, capsys
):
  whole, folder = tmp_path / "whole", tmp_path / "stopped"
  _main(whole, data_dir)
  step = training_runs.STEPS_PER_EPOCH + 2
  with training_runs.further_callbacks(training_runs.SigtermAt(step)):
    with pytest.raises(SystemExit) as stopped:
      _main(folder, data_dir)
  assert stopped.value.code == 143
  assert "The same command continues the run." in capsys.readouterr().out
  assert len(training_runs.history(folder)) == 1
  _main(folder, data_dir)
  output = capsys.readouterr().out
  assert "Continuing after epoch 1, step 2." in output
  assert f"Wrote {folder / 'model.keras'}." in output
  _assert_same_run(folder, whole)


def test_dry_run_writes_nothing(data_dir, tmp_path, capsys):
  _main(tmp_path / "run", data_dir, "--dry_run")
  assert "One step on 8 synthetic images" in capsys.readouterr().out
  assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_dry_run_needs_no_folder(data_dir):
  done = programs.succeed(
      *("trainers.train", *training_runs.TINY),
      *("--dry_run", f"--data_dir={data_dir}"),
  )
  assert "One step on 8 synthetic images" in done.stdout


@pytest.mark.slow
def test_help_is_of_all_flags_of_the_recipe():
  done = programs.run("trainers.train", "--helpshort")
  for name in (
      "workdir",
      "preset",
      "gate",
      "learning_rate",
      "keep_checkpoints",
  ):
    assert re.search(rf"^ +--(\[no\])?{name}:", done.stdout, re.M), name


def test_network_learns_the_digits(tiny_run):
  first, second = training_runs.history(tiny_run)
  # Chance is 0.1; four standard errors of 1,024 guesses are 0.04.
  assert second["accuracy"] > first["accuracy"] > 0.14
  assert second["task_loss"] < first["task_loss"]


def test_checkpoints_are_spoken_of_where_there_are_some(
    data_dir, tmp_path, monkeypatch
):
  def diverge(*args, **kwargs):
    raise FloatingPointError("val_task_loss is nan after epoch 1.")

  monkeypatch.setattr(train.training, "run", diverge)
  for name, expected in (("empty", False), ("begun", True)):
    if expected:
      (tmp_path / name / "checkpoints" / "step-000000004").mkdir(parents=True)
    with pytest.raises(SystemExit) as ended:
      _main(tmp_path / name, data_dir)
    assert "val_task_loss is nan" in ended.value.code
    assert ("states before are in" in ended.value.code) == expected


def test_interrupted_training_ends_in_one_line(
    data_dir, tmp_path, monkeypatch, capsys
):
  def interrupt(*args, **kwargs):
    raise KeyboardInterrupt

  monkeypatch.setattr(train.training, "run", interrupt)
  with pytest.raises(SystemExit) as error:
    _main(tmp_path, data_dir)
  assert error.value.code == 130
  found = capsys.readouterr().err
  assert found.startswith("trainers.train: Ended by SIGINT. The same command")


def test_other_settings_end_the_program_with_the_differences(
    tiny_run, data_dir
):
  with pytest.raises(SystemExit, match="seed: 0 there, 1 here") as error:
    _main(tiny_run, data_dir, "--seed=1")
  assert str(error.value).startswith("trainers.train: ")


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--dataset=digit", "Unknown data set 'digit'.*Did you mean digits"),
        ("--network=resnet9", "Received: 'resnet9'"),
        ("--batch_size=5000", "batch_size=5000 is larger than the 1197"),
        ("--always_open=3", "indices of blocks, 0 to 2"),
        ("--init_from=/nowhere", "there is no /nowhere"),
        ("--distribution=mirrored", "needs several GPUs"),
    ],
)
def test_wrong_flag_ends_the_program_with_a_message_and_no_run(
    data_dir, tmp_path, argument, message
):
  with pytest.raises(SystemExit, match=f"trainers.train: .*{message}"):
    _main(tmp_path, data_dir, argument)
  assert not list(tmp_path.iterdir())


def test_argument_that_is_no_flag_is_refused():
  with pytest.raises(app.UsageError, match=r"\['epochs=3'\]"):
    train.main(["train", "epochs=3"])


def _start(workdir, data_dir):
  command = [sys.executable, "-m", "trainers.train", f"--workdir={workdir}"]
  command += [f"--data_dir={data_dir}", *training_runs.TINY, "--epochs=3"]
  return subprocess.Popen(
      command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
  )


def _finish(workdir, data_dir):
  process = _start(workdir, data_dir)
  output = process.communicate()[0].decode()
  assert process.returncode == 0, output


def _wait_for(process, path):
  while not path.exists():
    assert process.poll() is None, process.communicate()[0].decode()
    time.sleep(0.05)


@pytest.fixture(scope="module")
def whole_process(data_dir, tmp_path_factory):
  """The folder of a run in a process of its own, never interrupted."""
  folder = tmp_path_factory.mktemp("whole")
  _finish(folder, data_dir)
  return folder


@pytest.mark.slow
def test_process_killed_at_random_continues_as_one_never_killed(
    whole_process, data_dir, tmp_path
):
  generator = random.Random(0)
  for _ in range(4):
    process = _start(tmp_path, data_dir)
    # From there on, it takes some seconds.
    _wait_for(process, tmp_path / "config.json")
    time.sleep(generator.uniform(0, 6))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
  _finish(tmp_path, data_dir)
  _assert_same_run(tmp_path, whole_process)


@pytest.mark.slow
def test_process_ended_by_sigterm_exits_with_143_and_continues(
    whole_process, data_dir, tmp_path
):
  process = _start(tmp_path, data_dir)
  _wait_for(process, tmp_path / "checkpoints" / "step-000000004")
  os.kill(process.pid, signal.SIGTERM)
  output = process.communicate()[0].decode()
  assert process.returncode == 143, output
  assert "Saved." in output
  _finish(tmp_path, data_dir)
  _assert_same_run(tmp_path, whole_process)


@pytest.mark.slow
def test_two_virtual_devices_start_from_an_ungated_run(data_dir, tmp_path):
  ungated, gated = tmp_path / "ungated", tmp_path / "gated"
  _main(ungated, data_dir, "--gate=none", "--epochs=1")
  _main(
      gated,
      data_dir,
      *("--epochs=1", f"--init_from={ungated}", "--learning_rate=0"),
      *("--num_virtual_devices=2", "--sync_batch_norm"),
  )
  source = keras.models.load_model(ungated / "model.keras")
  model = keras.models.load_model(gated / "model.keras")
  # Nothing was learnt: the first weights are still there.
  for name in ("stem_conv", "classifier"):
    np.testing.assert_array_equal(
        model.get_layer(name).kernel, source.get_layer(name).kernel
    )
