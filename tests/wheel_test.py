"""Installs the library as a stranger would, and trains a step with it."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

PROGRAM = """
import importlib.util
import pathlib
import sys

import keras
import numpy as np
import pgates

assert pathlib.Path(pgates.__file__).is_relative_to(sys.prefix), pgates
for name in (
    "benchmarks",
    "export",
    "file_io",
    "image_data",
    "run_data",
    "sklearn",
    "tensorflow_datasets",
    "tests",
    "tools",
    "trainers",
):
  assert importlib.util.find_spec(name) is None, name

keras.utils.set_random_seed(0)
inputs = keras.Input((8, 8, 4))
branch = keras.Sequential([keras.layers.Conv2D(4, 3, padding="same")])
x, gate, gate_logit = pgates.GatedResidual(
    branch, gate=pgates.DataDependentGate()
)(inputs)
logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
model = pgates.GatedModel(
    inputs, pgates.gated_outputs(logits, [gate], [gate_logit])
)
model.compile(
    "sgd",
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    rate_loss=pgates.TargetRateLoss(0.6),
)
before = model.get_weights()
history = model.fit(np.ones((4, 8, 8, 4)), np.zeros(4, "int32"), verbose=0)
assert np.isfinite(history.history["loss"]).all(), history.history
after = model.get_weights()
assert any((a != b).any() for a, b in zip(after, before)), "no weight moved"
print("trained one step")
"""


@pytest.fixture
def environment():
  # Nothing of the checkout may be importable by way of the environment.
  return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


@pytest.mark.slow
def test_installed_library_trains_without_the_programs(tmp_path, environment):
  checkout = tmp_path / "checkout"
  ignored = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info")
  shutil.copytree(ROOT, checkout, ignore=ignored)
  subprocess.run(
      [sys.executable, "-m", "venv", tmp_path / "venv"],
      check=True,
      env=environment,
  )
  python = tmp_path / "venv" / "bin" / "python"
  subprocess.run(
      [python, "-m", "pip", "install", "--quiet", checkout],
      check=True,
      cwd=tmp_path,
      env=environment,
  )
  result = subprocess.run(
      [python, "-c", PROGRAM],
      check=False,
      cwd=tmp_path,
      env=environment,
      capture_output=True,
      text=True,
  )
  assert result.returncode == 0, result.stderr
  assert result.stdout.endswith("trained one step\n")
