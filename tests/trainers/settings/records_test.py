"""Tests of `trainers.settings.records`."""

import dataclasses

import pytest

from tests.helpers import training_runs
from trainers.settings import records


def _config(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


def test_differences_name_the_settings_but_not_where_the_data_lie():
  ours = {"epochs": 2, "seed": 0, "data_dir": "/a", "new": 1}
  theirs = {"epochs": 3, "seed": 0, "data_dir": "/b"}
  assert records.differences(ours, theirs) == [
      "epochs: 3 there, 2 here",
      "new: None there, 1 here",
  ]


def test_images_may_have_moved_but_are_no_data_set():
  ours = {"dataset": "image_folder:/a"}
  assert not records.differences(ours, {"dataset": "image_folder:/b"})
  assert records.differences(ours, {"dataset": "digits"})


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--preset=cifar10_resnet110", "--seed=3", "--jit_compile"),
        ("--image_folder=/photos", "--image_size=9"),
        (
            *("--gate=independent", "--always_open=0,2", "--image_size=9"),
            *("--initial_probability=0.3", "--gate_weight_decay=0.0"),
            *("--target_rates=0.5,0.6", "--rate_loss=per_layer"),
        ),
        (
            "--network=MobileNetV3Small",
            "--network_args=alpha=0.5,minimalistic=true",
        ),
    ],
)
def test_flags_of_a_configuration_make_it_again(arguments):
  config = training_runs.config(*arguments)
  assert training_runs.config(*records.to_flags(config)) == config


def test_runs_from_before_a_setting_may_be_continued():
  ours = dataclasses.asdict(_config())
  theirs = {k: v for k, v in ours.items() if k not in records.LATER}
  assert ours["exif_orientation"]
  ours = records.continued(ours, theirs)
  assert not ours["exif_orientation"]
  assert not records.differences(ours, theirs)
  assert records.continued(ours, {}) is ours
  ours["mixup"] = 0.2
  assert records.continued(ours, theirs) == ours
  assert records.differences(ours, theirs) == ["mixup: 0.0 there, 0.2 here"]


def test_arguments_of_the_network_are_held_against_those_of_a_run():
  ours = dataclasses.asdict(
      _config(network="MobileNetV2", network_args=["alpha=0.35"])
  )
  theirs = {**ours, "network_args": ["alpha=0.5"]}
  assert records.differences(ours, theirs) == [
      "network_args: ['alpha=0.5'] there, ['alpha=0.35'] here"
  ]
