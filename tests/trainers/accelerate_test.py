"""Tests of the program `trainers.accelerate`."""

import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
from PIL import Image
import pytest
from sklearn import datasets

from tests.helpers import accelerations
from tests.helpers import trained_files
from tests.helpers import training_runs
from trainers import accelerate
from trainers import children

_ROOT = pathlib.Path(accelerate.__file__).parent.parent


@pytest.fixture(name="network", scope="module")
def _network(data_dir, tmp_path_factory):
  """A network in a file of plain Keras, as it was before it was trained."""
  _, path = trained_files.save_digits(
      tmp_path_factory.mktemp("network"), data_dir, epochs=0
  )
  return path


@pytest.fixture(name="trained_network", scope="module")
def _trained_network(data_dir, tmp_path_factory):
  """A trained network, in a file of plain Keras."""
  _, path = trained_files.save_digits(
      tmp_path_factory.mktemp("trained"), data_dir, epochs=8
  )
  return path


@pytest.fixture(name="programs")
def _programs(monkeypatch):
  """In place of the programs, which take minutes."""
  accuracies = {"given": 0.9, "rate_0.8": 0.895, "rate_0.6": 0.5}
  programs = accelerations.Programs(
      accuracies, {"given": 1.0, "rate_0.8": 0.7, "rate_0.6": 0.5}
  )
  programs.request_stop = lambda: None
  monkeypatch.setattr(children, "Children", lambda: programs)
  return programs


def _write_photos(folder):
  """300 digits as files, and one of them as `photo.jpg` beside the folder."""
  images, labels = datasets.load_digits(return_X_y=True)
  for i in range(300):
    path = folder / f"class{labels[i]}" / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.uint8(images[i].reshape(8, 8) * 15)
    Image.fromarray(pixels).save(path)
  Image.fromarray(pixels).save(folder.parent / "photo.jpg")


def _main(network, data_dir, folder, *arguments):
  given = (
      "--workdir=unused",  # Other programs in this process require it.
      f"--network=file:{network}",
      *(f"--data_dir={data_dir}", "--dataset=digits"),
      *(f"--output_dir={folder}", "--input_scaling=unit"),
  )
  with training_runs.parsed(*given, *arguments):
    accelerate.main(["accelerate"])


def test_blocks_come_first_and_a_table_last(
    network, data_dir, programs, tmp_path, capsys
):
  _main(network, data_dir, tmp_path / "out")
  printed = capsys.readouterr().out
  assert printed.startswith("name ") and "add2 " in printed.split("$ python")[0]
  assert "tflite rate_0.8" in printed and "*: the fastest" in printed
  assert printed.rstrip().endswith(f"{tmp_path}/out/accelerated.json.")
  assert f"Wrote {tmp_path}/out/model/1, {tmp_path}/out/model.tflite" in printed


def test_recipe_is_that_of_a_warm_start_unless_given(
    network, data_dir, programs, tmp_path
):
  _main(network, data_dir, tmp_path / "out", "--epochs=3", "--target_rates=0.8")
  arguments = accelerations.arguments_of(programs, "trainers.train", "rate_0.8")
  assert {
      *("--epochs=3", "--learning_rate=0.003", "--target_rates=0.8"),
      *("--rate_share=macs", "--image_size=8"),
  } <= set(arguments)


def test_nothing_faster_is_said(network, data_dir, programs, tmp_path, capsys):
  programs._times |= {"rate_0.8": 1.2}
  _main(network, data_dir, tmp_path / "out")
  printed = capsys.readouterr().out
  for format in ("saved_model", "tflite"):
    assert (
        f"In {format}, no network within the drop is faster than the given one:"
        " nothing is exported." in printed
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--network=MobileNetV2"], "must be a trained network, file:PATH"),
        (["--network=file:none.keras"], "There is no .*none.keras"),
        (["--dataset=none_such"], "none_such"),
        (["--gate=stochastic_depth"], "has nothing to learn"),
        (["--target_rates="], "--target_rates needs a rate"),
        (["--target_rates=0.5,7"], "--target_rates takes numbers"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(
    arguments, message, network, data_dir, programs, tmp_path
):
  with pytest.raises(SystemExit, match=f"trainers.accelerate: .*{message}"):
    _main(network, data_dir, tmp_path / "out", *arguments)
  assert not programs.calls


def test_program_that_fails_is_named(network, data_dir, programs, tmp_path):
  programs._fails = "export.export_model"
  with pytest.raises(SystemExit, match="export.export_model failed"):
    _main(network, data_dir, tmp_path / "out")


def _command(network, data_dir, folder):
  return [
      *(sys.executable, "-m", "trainers.accelerate"),
      *(f"--network=file:{network}", "--input_scaling=unit"),
      *("--dataset=digits", f"--data_dir={data_dir}"),
      *(f"--output_dir={folder}", "--epochs=2", "--target_rates=0.7"),
      "--max_accuracy_drop=30",
  ]


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_network(
    trained_network, data_dir, tmp_path
):
  network = trained_network
  whole, killed = tmp_path / "whole", tmp_path / "killed"
  subprocess.run(_command(network, data_dir, whole), check=True)
  generator = random.Random(0)
  for i in range(5):
    process = subprocess.Popen(_command(network, data_dir, killed))
    time.sleep(generator.uniform(8, 40))
    # By turns as schedulers ask for it, and as they do in the end.
    process.send_signal(signal.SIGTERM if i % 2 else signal.SIGKILL)
    process.wait()
  subprocess.run(_command(network, data_dir, killed), check=True)
  loaded = [
      keras.models.load_model(folder / "rate_0.7" / "model.keras")
      for folder in (whole, killed)
  ]
  for ours, theirs in zip(*(m.get_weights() for m in loaded), strict=True):
    np.testing.assert_array_equal(ours, theirs)
  results = [
      json.loads((folder / "rate_0.7" / "validation.json").read_text())
      for folder in (whole, killed)
  ]
  assert results[0]["strategies"] == results[1]["strategies"]
  assert (killed / "accelerated.json").exists()


@pytest.mark.slow
def test_documented_command_on_a_folder_of_photos(
    trained_network, tmp_path, monkeypatch
):
  """`docs/your_network.md`, from its command to its Python."""
  text = (_ROOT / "docs" / "your_network.md").read_text("utf-8")
  command, _ = re.findall(
      r"    python -m (trainers\.accelerate (?:.*\\\n)*.*)", text
  )
  (code,) = (
      code
      for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
      if "faster/" in code
  )
  monkeypatch.chdir(tmp_path)
  # Images of folders have three channels.
  images = keras.Input((8, 8, 3))
  grey = keras.ops.mean(images, axis=-1, keepdims=True)
  trained = keras.models.load_model(trained_network)
  keras.Model(images, trained(grey)).save("my.keras")
  _write_photos(tmp_path / "photos")
  arguments = shlex.split(command.replace("\\\n", " "))
  # Sooner: two targets, of two epochs, and images as small as the network.
  subprocess.run(
      [
          *(sys.executable, "-m", *arguments, "--epochs=2"),
          *("--target_rates=0.7", "--max_accuracy_drop=60"),
      ],
      check=True,
      env=os.environ | {"PYTHONPATH": str(_ROOT)},
  )
  written = {path.name for path in (tmp_path / "faster").iterdir()}
  assert {"given", "rate_0.7", "accelerated.json"} <= written
  if "model" not in written:  # None was faster here; any will do.
    shutil.copytree("faster/rate_0.7/exported/model", "faster/model")
  found = {}
  exec(compile(code, "your_network.md", "exec"), found)  # noqa: S102
  answer = found["answer"]["probabilities"].numpy()
  assert answer.shape == (1, 10)
  np.testing.assert_allclose(answer.sum(), 1, rtol=1e-5)
