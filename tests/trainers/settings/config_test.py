"""Tests of `trainers.settings.config`."""

import dataclasses

import pytest

import pgates
from tests.helpers import training_runs
from trainers.settings import config as config_lib

# The depths that the papers use, and the nearest that are not.
NETWORKS = {
    "resnet18": ("resnet", 18),
    "resnet152": ("resnet", 152),
    "cifar_resnet8": ("cifar_resnet", 8),
    "cifar_resnet110": ("cifar_resnet", 110),
}


def _config(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


@pytest.mark.parametrize("name", NETWORKS)
def test_network_is_read_as_family_and_depth(name):
  assert config_lib.parse_network(name) == NETWORKS[name]


@pytest.mark.parametrize(
    "name",
    ["resnet20", "cifar_resnet2", "cifar_resnet18", "resnet", "resnet50v2"],
)
def test_unknown_network_is_refused_with_those_known(name):
  with pytest.raises(ValueError, match=rf"6n \+ 2.*Received: '{name}'"):
    _config(network=name)


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
        {
            "learning_rate_schedule": "step",
            "learning_rate_boundaries": [30, 20],
        },
        "rising epochs in --learning_rate_boundaries. Received: [30, 20]",
    ),
    (
        {"learning_rate_schedule": "step", "learning_rate_boundaries": [0, 2]},
        "Received: [0, 2]",
    ),
    ({"temperature_schedule": "linear"}, "needs --final_temperature"),
    ({"final_temperature": 0.5}, "needs --temperature_schedule"),
    (
        {"jit_compile": True, "num_virtual_devices": 2},
        "--jit_compile or --num_virtual_devices, not both",
    ),
    ({"target_rates": [0.6, 0.7]}, "needs --rate_loss=per_layer"),
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
        {"learning_rate_schedule": "step", "learning_rate_boundaries": [1, 2]},
        {"temperature_schedule": "linear", "final_temperature": 0.5},
        {"rate_loss": "per_layer", "target_rates": [0.6, 0.7]},
        {"num_virtual_devices": 2, "distribution": "mirrored"},
    ],
)
def test_settings_at_the_border_are_accepted(settings):
  assert dataclasses.asdict(_config(**settings)).items() >= settings.items()


def test_presets_are_whole_and_valid():
  fields = {field.name for field in dataclasses.fields(config_lib.Config)}
  for preset in config_lib.PRESETS.values():
    assert preset.keys() <= fields
    assert dataclasses.asdict(_config(**preset)).items() >= preset.items()


def test_target_of_one_in_a_list_makes_the_block_always_open():
  config = _config(
      rate_loss="per_layer", target_rates=[1, 0.7, 1.0], always_open=[1]
  )
  assert config_lib.always_open_blocks(config) == [0, 1, 2]


def test_single_target_of_one_keeps_the_gates():
  config = _config(target_rates=[1.0], always_open=[2, 0])
  assert config_lib.always_open_blocks(config) == [0, 2]


@pytest.mark.parametrize(
    "gate, learned",
    [
        ("dependent", True),
        ("independent", True),
        ("stochastic_depth", False),
        ("none", False),
    ],
)
def test_only_gates_that_learn_have_a_rate_loss(gate, learned):
  config = _config(gate=gate)
  assert config.learned_gates == learned
  assert (config_lib.rate_loss(config) is not None) == learned
  assert config_lib.rate_loss(_config(gate=gate, rate_loss="none")) is None


def test_rate_loss_takes_every_setting():
  config = _config(
      target_rates=[0.4, 0.5],
      rate_loss="per_layer",
      rate_loss_weight=3.0,
      one_sided=True,
      rate_share="macs",
  )
  expected = pgates.TargetRateLoss(
      [0.4, 0.5], kind="per_layer", weight=3.0, one_sided=True, share="macs"
  )
  actual = config_lib.rate_loss(config)
  assert actual.get_config() == expected.get_config()
  single = config_lib.rate_loss(_config(target_rates=[0.4]))
  assert single.target_rate == 0.4


def test_differences_name_the_settings_but_not_where_the_data_lie():
  ours = {"epochs": 2, "seed": 0, "data_dir": "/a", "new": 1}
  theirs = {"epochs": 3, "seed": 0, "data_dir": "/b"}
  assert config_lib.differences(ours, theirs) == [
      "epochs: 3 there, 2 here",
      "new: None there, 1 here",
  ]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--preset=cifar10_resnet110", "--seed=3", "--jit_compile"),
        (
            *("--gate=independent", "--always_open=0,2", "--image_size=9"),
            *("--initial_probability=0.3", "--gate_weight_decay=0.0"),
            *("--target_rates=0.5,0.6", "--rate_loss=per_layer"),
        ),
    ],
)
def test_flags_of_a_configuration_make_it_again(arguments):
  config = training_runs.config(*arguments)
  assert training_runs.config(*config_lib.to_flags(config)) == config


def test_runs_from_before_a_setting_may_be_continued():
  ours = dataclasses.asdict(_config())
  theirs = {k: v for k, v in ours.items() if k not in config_lib.LATER}
  assert not config_lib.differences(ours, theirs)
  ours["mixup"] = 0.2
  assert config_lib.differences(ours, theirs) == ["mixup: 0.0 there, 0.2 here"]
