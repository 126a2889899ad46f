"""Tests of `export.export_model`.

Its flags and those of `trainers` share names, so it has a process of its own.
"""

import dataclasses
import json
import pathlib
import subprocess
import sys

import pytest

from export import run

ROOT = pathlib.Path(run.__file__).parent.parent
PROGRAM = (sys.executable, "-m", "export.export_model")

# Reads command lines, runs the program on each, and writes what came of them.
RUN_ALL = """
import dataclasses, json, sys
from absl import flags
from absl.testing import flagsaver
from export import export_model, run
from export.checks import comparison

def outcome(arguments):
  received = []
  def record(options):
    received.append(dataclasses.asdict(options))
    if options.name == "interrupted":
      raise KeyboardInterrupt
    if options.name == "unlike":
      raise comparison.CheckFailed("Gate 0 of example 0 differs.")
  run.run = real_run if "--name=real" in arguments else record
  try:
    with flagsaver.flagsaver():
      export_model.main(flags.FLAGS(["program", *arguments]))
  except (Exception, SystemExit) as error:
    return [type(error).__name__, str(error)]
  return received

real_run = run.run
defined = flags.FLAGS.flags_by_module_dict()["export.export_model"]
json.dump(
    {
        "helps": {flag.name: flag.help for flag in defined},
        "outcomes": [outcome(line) for line in json.load(sys.stdin)],
    },
    sys.stdout,
)
"""

OUT = "--output_dir=out"
# The argument, and the option that it makes; none is the default.
GIVEN = {
    "--workdir=runs/a": {"workdir": "runs/a"},
    "--reference=runs/plain": {"reference": "runs/plain"},
    "--model=a.keras": {"model": "a.keras"},
    "--cascade_after=runs/b": {"cascade_after": "runs/b"},
    "--import_modules=a.b,c": {"import_modules": ["a.b", "c"]},
    "--output_dir=elsewhere": {"output_dir": "elsewhere"},
    "--name=digits": {"name": "digits"},
    "--gating=fixed,dynamic": {"gating": ["fixed", "dynamic"]},
    "--format=tflite": {"format": ["tflite"]},
    "--strategy=budget:0.5": {"strategy": "budget:0.5"},
    "--costs=macs": {"costs": "macs"},
    "--max_accuracy_drop=0.5": {"max_accuracy_drop": 0.5},
    "--cost_batch_size=8": {"cost_batch_size": 8},
    "--keep_probes=probes": {"keep_probes": "probes"},
    "--quantization=int8,none": {"quantization": ["int8", "none"]},
    "--dataset=cifar10": {"dataset": "cifar10"},
    "--data_dir=gs://b/data": {"data_dir": "gs://b/data"},
    "--image_folder=photos": {"image_folder": "photos"},
    "--image_size=9": {"image_size": 9},
    "--labels=labels.txt": {"labels": "labels.txt"},
    "--split=validation": {"split": "validation"},
    "--num_examples=7": {"num_examples": 7},
    "--num_calibration=8": {"num_calibration": 8},
    "--max_bad_examples=3": {"max_bad_examples": 3},
    "--verify_only": {"verify_only": True},
}
REFUSED = {
    ("--workdir=a",): ("IllegalFlagValueError", "--output_dir"),
    (OUT, "--gatting=fixed"): ("UnrecognizedFlagError", "mean: gating"),
    **{
        (OUT, f"--{name}=s3://b/a"): ("IllegalFlagValueError", "s3:// is no f")
        for name in (
            *("workdir", "reference", "model", "output_dir", "keep_probes"),
            *("labels", "costs"),
        )
    },
    (OUT, "--split=train"): ("IllegalFlagValueError", "test|validation"),
    (OUT, "--num_examples=0"): ("IllegalFlagValueError", "positive"),
    (OUT, "--num_calibration=0"): ("IllegalFlagValueError", "positive"),
    (OUT, "--workdir=a", "more"): ("UsageError", "Received: ['more']"),
    # What a user can fix is said in one line, without a traceback.
    (OUT, "--name=real"): (
        "SystemExit",
        "export.export_model: Give --workdir or --model",
    ),
    (OUT, "--name=real", "--workdir=/no/where"): (
        "SystemExit",
        "export.export_model: There is no /no/where/model.keras",
    ),
    (OUT, "--name=interrupted"): ("SystemExit", "130"),
    (OUT, "--name=unlike"): (
        "SystemExit",
        "export.export_model: Gate 0 of example 0 differs.",
    ),
}


@pytest.fixture(scope="module")
def program():
  lines = [[OUT], *([OUT, argument] for argument in GIVEN), *REFUSED]
  done = subprocess.run(
      [sys.executable, "-c", RUN_ALL],
      input=json.dumps(lines),
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=True,
  )
  results = json.loads(done.stdout)
  keys = [tuple(line) for line in lines]
  outcomes = dict(zip(keys, results["outcomes"], strict=True))
  return {"helps": results["helps"], "outcomes": outcomes}


def _as_json(options):
  return json.loads(json.dumps(dataclasses.asdict(options)))


def test_flags_are_the_options_and_have_help(program):
  fields = [field.name for field in dataclasses.fields(run.Options)]
  assert {*program["helps"]} == {*fields}
  # What absl says where nothing was said.
  assert "(no help available)" not in program["helps"].values()


def test_defaults_are_those_of_the_options(program):
  expected = _as_json(run.Options(output_dir="out"))
  assert program["outcomes"][(OUT,)] == [expected]


def test_every_flag_is_tried():
  tried = {name for options in GIVEN.values() for name in options}
  assert tried == {field.name for field in dataclasses.fields(run.Options)}


@pytest.mark.parametrize("argument", GIVEN)
def test_flag_sets_its_option_alone(program, argument):
  default = _as_json(run.Options(output_dir="out"))
  expected = {**default, **GIVEN[argument]}
  assert expected != default
  assert program["outcomes"][OUT, argument] == [expected]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_bad_command_line_is_refused_with_a_reason(program, arguments):
  kind, message = REFUSED[arguments]
  found = program["outcomes"][arguments]
  assert found[0] == kind
  assert message in found[1]


@pytest.mark.slow
def test_the_program_exports_a_run(tmp_path, tiny_run):
  arguments = [f"--workdir={tiny_run}", f"--output_dir={tmp_path / 'out'}"]
  done = subprocess.run(
      [*PROGRAM, *arguments, "--num_examples=5"],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=True,
  )
  assert "saved_model auto" in done.stdout
  assert (tmp_path / "out" / "export.json").is_file()
  refused = subprocess.run(
      [*PROGRAM, *arguments, "--strategy=prune:0.5"],
      cwd=ROOT,
      capture_output=True,
      text=True,
      check=False,
  )
  assert refused.returncode == 1
  assert "does not go with" in refused.stderr
  assert "Traceback" not in refused.stderr
