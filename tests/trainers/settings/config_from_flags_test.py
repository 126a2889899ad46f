"""Tests of `trainers.settings.config_from_flags`."""

import dataclasses
import os

from absl import flags
import pytest

from tests.helpers import training_runs
from trainers.settings import config as config_lib
from trainers.settings import config_from_flags
from trainers.settings import presets
from trainers.settings import records

FIELDS = [field.name for field in dataclasses.fields(config_lib.Config)]


def _defined_flags():
  module = config_from_flags.__name__
  return {f.name: f for f in flags.FLAGS.flags_by_module_dict()[module]}


def test_fields_of_the_configuration_are_the_flags():
  others = {"preset"}
  assert {*FIELDS, *others} == {*_defined_flags(), "data_dir"}


@pytest.mark.parametrize("name", [*FIELDS, "preset", "image_folder"])
def test_flag_has_help(name):
  assert flags.FLAGS[name].help != "(no help available)"


def test_defaults_are_a_valid_configuration():
  with training_runs.parsed("--workdir=unused"):
    config = config_from_flags.make_config()
  assert config.batch_size == 128
  assert config.target_rates == [0.6]
  assert config.always_open == []
  assert config.gate_weight_decay is None


@pytest.mark.parametrize("name", presets.PRESETS)
def test_preset_sets_its_values_and_leaves_the_defaults(name):
  preset = presets.PRESETS[name]
  config = dataclasses.asdict(training_runs.config(f"--preset={name}"))
  defaults = dataclasses.asdict(training_runs.config())
  assert config == {**defaults, **preset}


@pytest.mark.parametrize(
    "argument, value",
    [
        ("--batch_size=32", 32),
        ("--batch_size=128", 128),  # The flag's default; the preset's is 64.
        ("--target_rates=0.9", [0.9]),
        ("--target_rates=0.6", [0.6]),
        ("--augmentation=none", "none"),
        ("--epochs=10", 10),
    ],
)
def test_given_flag_overrides_the_preset(argument, value):
  for arguments in [
      ("--preset=digits", argument),
      (argument, "--preset=digits"),
  ]:
    config = training_runs.config(*arguments)
    assert getattr(config, argument[2:].partition("=")[0]) == value


@pytest.mark.parametrize(
    "argument, right",
    [
        ("--epoch=2", "epochs"),
        ("--targetrates=0.5", "target_rates"),
        ("--presets=digits", "preset"),
        ("--emamomentum=0.5", "ema_momentum"),
    ],
)
def test_misspelt_flag_is_refused_with_the_right_name(argument, right):
  with pytest.raises(flags.UnrecognizedFlagError, match=f"mean: {right}"):
    training_runs.config(argument)


@pytest.mark.parametrize(
    "argument, wanted",
    [
        ("--batch_size=0", "a positive integer"),
        ("--batch_size=0", "a positive integer"),
        ("--label_smoothing=1.5", r"number in the range \[0.0, 1.0\]"),
        ("--momentum=-0.1", r"number in the range \[0.0, 1.0\]"),
        ("--initial_probability=1", r"number in the range \[1e-06, 0.99"),
        ("--ema_momentum=1", r"number in the range \[0.0, 0.999999\]"),
        ("--temperature=0", "number >= 0.001"),
        ("--weight_decay=-1", "a non-negative number"),
        (
            "--gate=soft",
            "dependent\\|independent\\|hard_concrete\\|stochastic_depth\\|none",
        ),
        ("--preset=imagenet", "cifar10_resnet110\\|cluttered_digits\\|digits"),
        ("--seed=x", "invalid literal"),
    ],
)
def test_value_out_of_range_is_refused_with_the_range(argument, wanted):
  with pytest.raises(flags.IllegalFlagValueError, match=wanted):
    training_runs.config(argument)


@pytest.mark.parametrize(
    "argument, message",
    [
        (
            "--target_rates=0.5,high",
            "numbers from 0 to 1 between commas. Received: 0.5,high",
        ),
        (
            "--always_open=1,2.5",
            "whole numbers from 0 between commas. Received: 1,2.5",
        ),
        ("--learning_rate_boundaries=a", "--learning_rate_boundaries takes"),
    ],
)
def test_malformed_list_is_refused(argument, message):
  with pytest.raises(ValueError, match=message):
    training_runs.config(argument)


def test_lists_are_numbers():
  config = training_runs.config(
      "--rate_loss=per_layer",
      "--target_rates=1,0.5, 0.25",
      "--always_open=2,0",
      "--learning_rate_boundaries=3,5",
  )
  assert config.target_rates == [1.0, 0.5, 0.25]
  assert config.always_open == [2, 0]
  assert config.learning_rate_boundaries == [3, 5]


def test_paths_do_not_depend_on_the_current_folder(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  config = training_runs.config(
      "--data_dir=data", "--init_from=~/run", "--distill_from=plain"
  )
  assert config.data_dir == str(tmp_path / "data")
  assert config.init_from == os.path.expanduser("~/run")
  assert config.distill_from == str(tmp_path / "plain")


def test_data_of_other_file_systems_go_to_tfds_as_they_are():
  config = training_runs.config("--data_dir=gs://bucket/tfds")
  assert config.data_dir == "gs://bucket/tfds"
  assert training_runs.config(*records.to_flags(config)) == config


@pytest.mark.parametrize("name", ["workdir", "init_from", "image_folder"])
def test_other_paths_are_of_this_machine(name):
  message = f"--{name}=gs://b/a: gs:// is no file system of this machine"
  with pytest.raises(flags.IllegalFlagValueError, match=message):
    training_runs.config(f"--{name}=gs://b/a")


def test_bad_combination_of_flags_is_refused():
  with pytest.raises(ValueError, match="warmup_epochs=30.0, epochs=30"):
    training_runs.config("--preset=digits", "--warmup_epochs=30")


@pytest.mark.parametrize("gate", ["none", "stochastic_depth"])
def test_target_without_gates_that_learn_is_refused(gate):
  with pytest.raises(ValueError, match=f"--gate={gate} has none.*Leave"):
    training_runs.config(f"--gate={gate}", "--target_rates=0.5")
  with pytest.raises(ValueError, match=r"Received: \[1.0, 0.5\]"):
    training_runs.config(
        f"--gate={gate}", "--rate_loss=per_layer", "--target_rates=1,0.5"
    )


@pytest.mark.parametrize("gate", ["none", "stochastic_depth"])
def test_target_that_was_not_asked_for_is_no_error(gate):
  config = training_runs.config(f"--gate={gate}", "--preset=digits")
  assert config.target_rates == [0.6]
  # As a comparison trains them.
  trained = dataclasses.replace(config, target_rates=[1.0])
  assert training_runs.config(*records.to_flags(trained)) == trained


def test_folder_of_images_takes_the_place_of_a_data_set(tmp_path):
  config = training_runs.config(f"--image_folder={tmp_path}", "--preset=digits")
  assert config.dataset == f"image_folder:{tmp_path}"
  # As flags of a run of a comparison.
  again = training_runs.config(*records.to_flags(config))
  assert again == config
  with pytest.raises(ValueError, match="--dataset or --image_folder"):
    training_runs.config(f"--image_folder={tmp_path}", "--dataset=digits")
  with pytest.raises(ValueError, match="needs none: leave it out"):
    training_runs.config(f"--image_folder={tmp_path}", "--data_dir=x")
