"""Tests of training by several processes."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import image_data
from tests.helpers import numbered_images
from tests.helpers import training_runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow

ARGUMENTS = (
    *("--preset=digits", "--network=cifar_resnet8", "--batch_size=256"),
    *("--epochs=3", "--sync_batch_norm"),
)


def _free_ports(count):
  sockets = [socket.socket() for _ in range(count)]
  for each in sockets:
    each.bind(("localhost", 0))
  ports = [each.getsockname()[1] for each in sockets]
  for each in sockets:
    each.close()
  return ports


def _start_module(module, *arguments, config=None):
  environment = dict(os.environ)
  if config is not None:
    environment["TF_CONFIG"] = json.dumps(config)
  return subprocess.Popen(
      [sys.executable, "-m", module, *arguments],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
  )


def _configs(count):
  workers = [f"localhost:{port}" for port in _free_ports(count)]
  return [
      {
          "cluster": {"worker": workers},
          "task": {"type": "worker", "index": index},
      }
      for index in range(count)
  ]


def _start(workdir, data_dir, *arguments, config=None):
  places = (f"--workdir={workdir}", f"--data_dir={data_dir}")
  return _start_module(
      "trainers.train", *ARGUMENTS, *arguments, *places, config=config
  )


def _start_two(workdir, data_dir, *arguments):
  return [
      _start(
          workdir,
          data_dir,
          "--distribution=multi_worker",
          *arguments,
          config=config,
      )
      for config in _configs(2)
  ]


def _finish(processes, timeout=150):
  """Exit codes, and what was printed."""
  printed = [process.communicate(timeout=timeout) for process in processes]
  return [process.returncode for process in processes], printed


def _wait_for_epochs(workdir, count):
  for _ in range(1800):
    path = workdir / "history.jsonl"
    if path.exists() and len(path.read_text().splitlines()) >= count:
      return
    time.sleep(0.1)
  raise AssertionError(f"No {count} epochs in three minutes.")


@pytest.fixture(name="whole", scope="module")
def _whole(tmp_path_factory, data_dir):
  """The folder of one process with two replicas."""
  workdir = tmp_path_factory.mktemp("whole")
  codes, printed = _finish(
      [_start(workdir, data_dir, "--num_virtual_devices=2")]
  )
  assert codes == [0], printed
  return workdir


def _assert_same(workdir, whole):
  weights = [
      [np.asarray(v) for v in keras.models.load_model(folder / name).weights]
      for folder in (workdir, whole)
      for name in ("model.keras", "best.keras")
  ]
  for ours, theirs in (weights[::2], weights[1::2]):
    for a, b in zip(ours, theirs, strict=True):
      np.testing.assert_array_equal(a, b)
  assert training_runs.history(workdir) == training_runs.history(whole)


def test_two_workers_end_as_one_process_with_two_replicas(
    whole, tmp_path, data_dir
):
  codes, printed = _finish(_start_two(tmp_path, data_dir))
  assert codes == [0, 0], printed
  # Only the first writes, and speaks.
  assert "Wrote" in printed[0][0] and not printed[1][0]
  _assert_same(tmp_path, whole)


@pytest.mark.parametrize("worker", [0, 1])
def test_sigterm_of_one_stops_all_and_they_continue(
    whole, tmp_path, data_dir, worker
):
  processes = _start_two(tmp_path, data_dir)
  _wait_for_epochs(tmp_path, 1)
  processes[worker].send_signal(signal.SIGTERM)
  codes, printed = _finish(processes)
  assert codes == [143, 143], printed
  codes, printed = _finish(_start_two(tmp_path, data_dir))
  assert codes == [0, 0], printed
  assert "Continuing after epoch" in printed[0][0]
  _assert_same(tmp_path, whole)


@pytest.mark.parametrize("worker", [0, 1])
def test_killed_worker_ends_the_job_which_continues(
    whole, tmp_path, data_dir, worker
):
  processes = _start_two(tmp_path, data_dir)
  _wait_for_epochs(tmp_path, 1)
  processes[worker].kill()
  codes, printed = _finish(processes)
  assert codes[worker] == -signal.SIGKILL
  if not worker:
    # TensorFlow itself ends a process whose first worker is gone.
    assert codes[1] != 0
  else:
    assert codes[0] == 75, printed[0]
    assert "Another worker is gone" in printed[0][1]
    assert "Start all workers again" in printed[0][1]
  codes, printed = _finish(_start_two(tmp_path, data_dir))
  assert codes == [0, 0], printed
  _assert_same(tmp_path, whole)


def test_worker_that_is_alone_says_so_and_gives_up(tmp_path, data_dir):
  config, _ = _configs(2)
  start = time.monotonic()
  process = _start(
      tmp_path,
      data_dir,
      *("--distribution=multi_worker", "--cluster_timeout=10"),
      config=config,
  )
  (code,), ((_, printed),) = _finish([process])
  assert code == 75, printed
  other = config["cluster"]["worker"][1]
  assert f"waits for {other}: for 10 seconds (--cluster_timeout)" in printed
  assert f"there was no {other}. Start all workers" in printed
  assert time.monotonic() - start < 90


def test_worker_without_the_checkpoints_is_refused_by_all(tmp_path, data_dir):
  processes = _start_two(tmp_path / "shared", data_dir)
  _wait_for_epochs(tmp_path / "shared", 1)
  processes[1].send_signal(signal.SIGTERM)
  codes, printed = _finish(processes)
  assert codes == [143, 143], printed
  processes = [
      _start(
          tmp_path / folder,
          data_dir,
          "--distribution=multi_worker",
          config=config,
      )
      for folder, config in zip(("shared", "local"), _configs(2), strict=True)
  ]
  codes, printed = _finish(processes)
  assert codes == [1, 1], printed
  assert "Another worker does not have the checkpoint" in printed[0][1]
  assert "on a disk that they share" in printed[1][1]
  assert not (tmp_path / "shared" / "model.keras").exists()


@pytest.mark.parametrize("count", [2, 3])
def test_evaluation_over_workers_counts_every_example_once(tmp_path, count):
  numbered_images.store(tmp_path, name="numbered", shapes=[(6, 8, 1)] * 50)
  dataset = image_data.open_dataset("numbered", data_dir=tmp_path)
  labels = np.array([int(label) for _, label in dataset.examples("train")])
  assert len(labels) % 8  # The last batch is smaller, uneven over workers.
  processes = [
      _start_module(
          "tests.helpers.evaluating_worker", str(tmp_path), config=config
      )
      for config in _configs(count)
  ]
  codes, printed = _finish(processes)
  assert codes == [0] * count, printed
  for out, _ in printed:
    powers = json.loads(out.splitlines()[-1])["powers"]
    assert powers == [np.sum(labels**power) for power in range(3)]
