"""Tests of `trainers.evaluation.options`."""

import dataclasses
import pathlib

from absl import flags
import pytest

from tests.helpers import training_runs
from trainers import evaluate
from trainers.evaluation import options
from trainers.settings import setting


def test_flags_of_the_program_have_the_defaults():
  with training_runs.parsed("--workdir=unused"):
    found = {
        name: each.read(name, flags.FLAGS[name].value)
        for name, (each, _) in setting.settings_of(options.Options).items()
    }
  assert options.Options(**found) == options.Options()
  assert found == dataclasses.asdict(options.Options())
  # `--helpshort` shows what the program declares its own.
  declared = flags.FLAGS.get_key_flags_for_module(evaluate.__name__)
  assert set(found) <= {flag.name for flag in declared}


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"split": "train"}, "--split takes one of test, validation"),
        ({"execution": "conditional"}, "--execution takes one of masked, rou"),
        ({"recalibrate_batch_norm": -1}, "takes whole numbers from 0"),
        ({"model_file": "other.keras"}, "one of model.keras, best.keras"),
        ({"output": "config.json"}, "none that training writes"),
        ({"output": "../config.json"}, "a JSON file in the workdir"),
        ({"output": "evaluation"}, "Received: 'evaluation'"),
    ],
)
def test_option_that_cannot_be_is_refused(wrong, message):
  with pytest.raises(ValueError) as error:
    options.Options(**wrong)
  assert message in str(error.value)


def test_output_is_a_name_in_the_workdir_or_a_path_elsewhere(tmp_path):
  def path(output):
    return options.Options(output=output).output_path(tmp_path)

  assert path("a.json") == tmp_path / "a.json"
  assert path("../a.json") == pathlib.Path("../a.json")
  assert path("/b/a.json") == pathlib.Path("/b/a.json")
  assert path("~/a.json") == pathlib.Path.home() / "a.json"
