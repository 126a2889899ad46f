"""Tests of `trainers.settings.combinations`."""

import dataclasses

import pytest

from tests.helpers import training_runs


def _config(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


# Settings that do not fit together -> what the message says.
COMBINATIONS = [
    (
        {"warmup_epochs": 1.0, "learning_rate_schedule": "step"},
        "--learning_rate_boundaries. Received: []",
    ),
    (
        {"warmup_epochs": 1.0, "learning_rate_schedule": "constant"},
        "warmup_epochs is for --learning_rate_schedule=cosine",
    ),
    ({"warmup_epochs": 10.0, "epochs": 10}, "warmup_epochs=10.0, epochs=10"),
    (
        {"network": "resnet18", "input_scaling": "unit", "new_head": True},
        "--input_scaling, --new_head is for --network=file:PATH.keras. "
        "Received: --network=resnet18",
    ),
    (
        {"network": "file:my.keras", "normalization": "imagenet"},
        "(--input_scaling, where it is of a file)",
    ),
    (
        {
            "learning_rate_schedule": "step",
            "learning_rate_boundaries": [30, 20],
        },
        "rising epochs in --learning_rate_boundaries. Received: [30, 20]",
    ),
    (
        {"learning_rate_schedule": "step", "learning_rate_boundaries": [0, 2]},
        "--learning_rate_boundaries takes whole numbers from 1 between commas. "
        "Received: 0,2",
    ),
    (
        {"gate_warmup_epochs": 10.0, "epochs": 10},
        "gate_warmup_epochs must be fewer than epochs",
    ),
    ({"temperature_schedule": "linear"}, "needs --final_temperature"),
    ({"final_temperature": 0.5}, "needs --temperature_schedule"),
    (
        {"jit_compile": True, "num_virtual_devices": 2},
        "--jit_compile or --num_virtual_devices, not both",
    ),
    ({"target_rates": [0.6, 0.7]}, "needs --rate_loss=per_layer"),
    (
        {"rate_share": "time", "distribution": "multi_worker"},
        "rate_share='time' is for one process",
    ),
    ({"target_rates": [], "rate_loss": "per_layer"}, "--target_rates needs"),
    (
        {"num_virtual_devices": 2, "distribution": "one_device"},
        "num_virtual_devices is for --distribution=mirrored",
    ),
]


@pytest.mark.parametrize(
    "settings, message", COMBINATIONS, ids=[m for _, m in COMBINATIONS]
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
  with pytest.raises(ValueError) as error:
    _config(**settings)
  assert message in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"warmup_epochs": 9.5, "epochs": 10},
        {"gate_warmup_epochs": 9.5, "epochs": 10},
        {"learning_rate_schedule": "step", "learning_rate_boundaries": [1, 2]},
        {"temperature_schedule": "linear", "final_temperature": 0.5},
        {"rate_loss": "per_layer", "target_rates": [0.6, 0.7]},
        {"num_virtual_devices": 2, "distribution": "mirrored"},
    ],
)
def test_settings_at_the_border_are_accepted(settings):
  assert dataclasses.asdict(_config(**settings)).items() >= settings.items()
