"""Tests of `export.measure_costs`, here and as one file on a device."""

import json
import subprocess
import sys

import pytest

from export import measure_costs
from export.timing import costs
from export.timing import probes
from tests.helpers import gated_networks

# A device has NumPy and LiteRT: all else is made impossible to import.
DEVICE = """
import runpy, sys
for package in ("absl", "keras", "pgates", "tensorflow"):
  sys.modules[package] = None
sys.path = [path for path in sys.path if path not in ("", sys.argv[1])]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def model():
  return gated_networks.resnet(always_open=[1])


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
  path = tmp_path_factory.mktemp("probes") / "tflite"
  probes.write(model, path, format="tflite")
  return path


def test_one_file_measures_on_a_device(model, folder, tmp_path):
  output = tmp_path / "costs.json"
  program = folder / "measure_costs.pyz"
  done = subprocess.run(
      [
          *(sys.executable, "-c", DEVICE, sys.path[0], program),
          *(f"--output={output}", "--repeats=2", "--num_threads=1"),
      ],
      capture_output=True,
      check=False,
      cwd=tmp_path,
      text=True,
  )
  assert done.returncode == 0, done.stderr
  assert done.stdout.endswith(f"Wrote {output}.\n")
  assert done.stdout.count("branch") == 3
  found = costs.read(output, model, "tflite")
  assert found.unit == "us" and found.batch_size == 1
  assert found.blocks[0].branch + found.blocks[0].gate > 0
  assert json.loads(output.read_text())["machine"]


def test_saved_models_are_measured_from_a_checkout(model, tmp_path, capsys):
  probes.write(model, tmp_path / "probes", format="saved_model", batch_size=2)
  assert not (tmp_path / "probes" / "measure_costs.pyz").exists()
  measure_costs.main(
      [f"--probes={tmp_path / 'probes'}", f"--output={tmp_path / 'c.json'}"]
      + ["--repeats=2"]
  )
  assert "stage1_block0" in capsys.readouterr().out
  found = costs.read(tmp_path / "c.json", model, "saved_model")
  assert found.batch_size == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--probes=."], "--output"),
        (["--output=c.json"], "--probes"),
        (["--probes=.", "--output=c.json", "--repeats=0"], "must be positive"),
        (["--probes=.", "--output=c.json", "--reps=3"], "unrecognized"),
    ],
)
def test_bad_command_lines_are_refused(arguments, message, capsys):
  with pytest.raises(SystemExit):
    measure_costs.main(arguments)
  assert message in capsys.readouterr().err


def test_folder_without_probes_is_named_and_nothing_written(tmp_path):
  output = tmp_path / "costs.json"
  with pytest.raises(SystemExit, match=f"{tmp_path} holds no probes.json"):
    measure_costs.main([f"--probes={tmp_path}", f"--output={output}"])
  assert not output.exists()


def test_costs_that_cannot_be_written_are_refused_before_the_work(
    folder, tmp_path, monkeypatch
):
  monkeypatch.setattr(measure_costs.block_times, "measure", None)
  with pytest.raises(SystemExit, match="is a folder.*another --output"):
    measure_costs.main([f"--probes={folder}", f"--output={tmp_path}"])


@pytest.mark.parametrize("name", ["probes", "output"])
def test_paths_are_of_this_machine(name, tmp_path):
  given = {"probes": tmp_path, "output": tmp_path / "c.json", name: "gs://b/a"}
  with pytest.raises(SystemExit, match="measure_costs: gs:// is no file sys"):
    measure_costs.main([f"--{key}={value}" for key, value in given.items()])
