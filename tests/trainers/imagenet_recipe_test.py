"""Test of the ImageNet recipe, from a synthetic `imagenet2012` to an export."""

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors import numpy as safetensors

from benchmarks import jpeg_records
from file_io import artifacts
import pgates
from tests.helpers import torch_states

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def _command(module, *arguments):
  return [sys.executable, "-m", module, *arguments]


def _run(module, *arguments):
  result = subprocess.run(
      _command(module, *arguments), cwd=ROOT, capture_output=True, text=True
  )
  assert result.returncode == 0, result.stderr
  return result.stdout


def _kill_after_checkpoint(command, folder):
  process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
  for _ in range(3000):
    if any(folder.glob("step-*")):
      break
    assert process.poll() is None
    time.sleep(0.1)
  process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL


def test_recipe_is_trained_killed_resumed_evaluated_and_exported(tmp_path):
  jpeg_records.store_imagenet(tmp_path / "data", num_images=102)
  weights = tmp_path / "resnet50.safetensors"
  state = torch_states.random_state(
      torch_states.LAYOUTS[pgates.ResNet50], num_classes=1000
  )
  safetensors.save_file(
      {name: np.ascontiguousarray(value) for name, value in state.items()},
      weights,
  )
  workdir = tmp_path / "run"
  places = (f"--workdir={workdir}", f"--data_dir={tmp_path / 'data'}")
  arguments = (
      *("--preset=imagenet_resnet50", f"--init_from={weights}", *places),
      # 12 steps.
      *("--batch_size=8", "--epochs=1", "--learning_rate=0.001"),
      *("--image_size=64", "--checkpoint_steps=3"),
  )
  _kill_after_checkpoint(
      _command("trainers.train", *arguments), workdir / "checkpoints"
  )
  assert not (workdir / "model.keras").exists()
  printed = _run("trainers.train", *arguments)
  assert "Continuing after epoch 0, step " in printed
  (line,) = artifacts.read_json_lines(workdir / "history.jsonl")
  assert line["epoch"] == 1 and np.isfinite(line["loss"])
  _run("trainers.evaluate", "--strategies=map,always_open", *places)
  value = artifacts.read_json(workdir / "evaluation.json")
  assert (value["examples"], value["bad_examples"]) == (25, [])
  _run(
      "export.export_model",
      *("--name=imagenet", "--gating=dynamic", "--format=saved_model"),
      *(f"--output_dir={tmp_path / 'export'}", *places),
  )
  assert (tmp_path / "export/imagenet/1/saved_model.pb").exists()
