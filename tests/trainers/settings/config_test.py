"""Tests of `trainers.settings.config`."""

import dataclasses

import pytest

from tests.helpers import training_runs
from trainers.settings import config as config_lib
from trainers.settings import setting


def _config(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


@pytest.mark.parametrize(
    "name",
    ["resnet20", "cifar_resnet2", "cifar_resnet18", "resnet", "resnet50v2"],
)
def test_unknown_network_is_refused_with_those_known(name):
  with pytest.raises(ValueError, match=rf"6n \+ 2.*Received: '{name}'"):
    _config(network=name)


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"learning_rate": float("nan")},
            "--learning_rate takes numbers from 0",
        ),
        ({"learning_rate": float("inf")}, "Received: inf"),
        ({"learning_rate": -0.1}, "Received: -0.1"),
        ({"momentum": float("nan")}, "--momentum takes numbers from 0 to 1."),
        ({"epochs": -1}, "--epochs takes whole numbers from 0. Received: -1"),
        (
            {"learning_rate_boundaries": [-3]},
            "--learning_rate_boundaries takes whole numbers from 1 between",
        ),
        ({"target_rates": [0.5, 1.5], "rate_loss": "per_layer"}, "0.5,1.5"),
        ({"always_open": [-1]}, "--always_open takes whole numbers from 0"),
        ({"precision": "float64"}, "--precision takes one of float32, mixed"),
        ({"gate": "dependant"}, "one of dependent, independent"),
        ({"initial_probability": 0.0}, "from 1e-06 to 0.999999"),
        ({"network_args": ["alpha=1"]}, "cifar_resnet20 takes no arguments"),
        (
            {"network": "MobileNetV2", "network_args": ["depth=2"]},
            "takes alpha=1.0. Received: depth=2",
        ),
        (
            {"network": "MobileNetV2", "network_args": ["alpha"]},
            "--network_args takes NAME=VALUE",
        ),
    ],
)
def test_setting_out_of_its_range_is_refused(settings, message):
  with pytest.raises(ValueError) as error:
    _config(**settings)
  assert message in str(error.value)


def test_settings_that_may_be_absent_are():
  config = _config(final_temperature=None, image_size=None, init_from=None)
  assert config.final_temperature is None


def test_every_field_says_what_its_flag_is():
  for name, (each, default) in setting.settings_of(config_lib.Config).items():
    assert each.help, name
    each.check(name, default)


def test_arguments_of_the_network_are_values():
  config = _config(network="MobileNetV2", network_args=["alpha=0.35"])
  assert config.network_arguments == {"alpha": 0.35}
  assert _config().network_arguments == {}
