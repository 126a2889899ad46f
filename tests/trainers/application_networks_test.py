"""Test of a network of Keras, from a plain run to the export of a gated one."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from file_io import artifacts
import pgates

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def _run(module, *arguments):
  return subprocess.run(
      [sys.executable, "-m", module, *arguments],
      cwd=ROOT,
      capture_output=True,
      text=True,
  )


def _done(module, *arguments):
  result = _run(module, *arguments)
  assert result.returncode == 0, result.stderr
  return result.stdout


def test_plain_run_is_gated_evaluated_reported_and_exported(data_dir, tmp_path):
  plain, gated = tmp_path / "plain", tmp_path / "gated"
  recipe = (
      *("--network=MobileNetV2", "--network_args=alpha=0.35"),
      *("--image_size=32", "--batch_size=128", f"--data_dir={data_dir}"),
  )
  _done(
      *("trainers.train", *recipe, "--gate=none", "--epochs=2"),
      f"--workdir={plain}",
  )
  arguments = (
      *("trainers.train", *recipe, "--epochs=1", f"--init_from={plain}"),
      *("--target_rates=0.6", "--rate_share=macs", f"--workdir={gated}"),
      "--learning_rate=0.001",
  )
  num_variables = len(pgates.load_model(plain / "model.keras").weights)
  assert f"Loaded {num_variables} variables of {plain}" in _done(*arguments)
  assert "Continuing after epoch 1" in _done(*arguments)
  other = _run(*arguments, "--network_args=alpha=0.5")
  assert other.returncode == 1
  assert "network_args: ['alpha=0.35'] there, ['alpha=0.5']" in other.stderr
  _done("trainers.evaluate", f"--workdir={plain}", "--strategies=always_open")
  _done(
      *("trainers.evaluate", f"--workdir={gated}", f"--reference={plain}"),
      "--strategies=map,always_open",
  )
  found = artifacts.read_json(gated / "evaluation.json")
  ungated = artifacts.read_json(plain / "evaluation.json")
  assert [each["name"] for each in found["gates"]] == [
      each["name"] for each in ungated["gates"]
  ]
  assert found["dense_macs"] > ungated["dense_macs"]
  exported = tmp_path / "exported"
  _done(
      *("export.export_model", f"--workdir={gated}", f"--reference={plain}"),
      *("--gating=auto", "--format=saved_model,tflite", "--costs=macs"),
      f"--output_dir={exported}",
  )
  variants = artifacts.read_json(exported / "export.json")["variants"]
  for variant in variants:
    # Of what Keras and the exported file say of the same images.
    np.testing.assert_allclose(
        variant["accuracy"], variant["keras_accuracy"], atol=0.005
    )
  assert {variant["format"] for variant in variants} == {
      "saved_model",
      "tflite",
  }
  _done("trainers.report", f"--workdir={gated}", f"--export={exported}")
  assert "block_2_add" in (gated / "report.html").read_text("utf-8")
