"""Tests of `trainers.training.dry_run`."""

import re

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import training_runs
from trainers.training import dry_run
from trainers.training import networks

pytestmark = pytest.mark.usefixtures("eagerly")

SMALL = ("--network=cifar_resnet8", "--batch_size=256", "--epochs=3")


def _shown(capsys, *arguments):
  """name -> value, as printed; and the loss of the step."""
  dry_run.dry_run(training_runs.config(*arguments))
  *lines, last = capsys.readouterr().out.splitlines()
  shown = dict(re.split(r"  +", line, maxsplit=1) for line in lines)
  return shown, float(re.search(r"loss (\d+[.]\d+)", last)[1])


def test_recipe_costs_and_a_step_are_shown(data_dir, capsys):
  shown, loss = _shown(capsys, *SMALL, f"--data_dir={data_dir}", "--seed=4")
  model = networks.build_network(
      training_runs.config(*SMALL), image_shape=(8, 8, 1), num_classes=10
  )
  macs = model.macs
  assert shown["network"] == "cifar_resnet8" and shown["seed"] == "4"
  assert shown["parameters"] == f"{model.count_params():,}"
  assert shown["MACs, all gates open"] == f"{macs.dense:,}"
  expected = macs.always + 0.6 * sum(macs.branches)
  assert shown["MACs at the target rates"] == f"{expected:,.0f}"
  assert (shown["steps an epoch"], shown["steps"]) == ("4", "12")
  # An untrained network guesses: log(10), and a rate loss of 0.27^2 at most.
  assert 1.0 < loss < 5.0


def test_data_need_not_be_prepared_and_nothing_is_written(tmp_path, capsys):
  shown, _ = _shown(
      capsys,
      *("--dataset=cifar10", "--network=cifar_resnet8"),
      f"--data_dir={tmp_path / 'data'}",
  )
  for name in ("steps", "steps an epoch"):
    assert "unknown: cifar10 is not prepared" in shown[name]
  assert not list(tmp_path.iterdir())


def test_smoothed_labels_take_a_step_too(data_dir, capsys):
  _, loss = _shown(
      capsys, *SMALL, f"--data_dir={data_dir}", "--label_smoothing=0.1"
  )
  assert loss > 0


def test_macs_follow_the_schedule_of_targets(data_dir, capsys):
  shown, _ = _shown(
      capsys,
      *SMALL,
      *("--target_rates=1,0.5,0.2", "--rate_loss=per_layer"),
      f"--data_dir={data_dir}",
  )
  config = training_runs.config(
      *SMALL, "--target_rates=1,0.5,0.2", "--rate_loss=per_layer"
  )
  macs = networks.build_network(
      config, image_shape=(8, 8, 1), num_classes=10
  ).macs
  expected = macs.always + np.dot([1, 0.5, 0.2], macs.branches)
  assert shown["MACs at the target rates"] == f"{expected:,.0f}"


def test_memory_is_that_of_states_and_outputs():
  images = keras.Input((4, 4, 2))
  x = keras.layers.Conv2D(3, 1)(images)  # 9 weights, 48 outputs.
  branch = keras.Sequential([keras.layers.Conv2D(3, 1)])  # 12 and 48.
  x, gate, logit = pgates.GatedResidual(branch, gate=None)(x)  # 2 times 48.
  x = keras.layers.GlobalAveragePooling2D()(x)  # 3 outputs.
  outputs = pgates.gated_outputs(x, [gate], [logit])
  model = pgates.GatedModel(images, outputs)
  config = training_runs.config("--batch_size=10")
  estimate = dry_run.estimated_bytes(config, model)
  # Inputs of 32 numbers; and the gates, a few numbers.
  outputs = 32 + 48 + 48 + 96 + 3
  least = 3 * 4 * 21 + 10 * 4 * outputs
  assert least <= estimate <= least + 10 * 4 * 8
  average = training_runs.config("--batch_size=10", "--ema_momentum=0.9")
  assert dry_run.estimated_bytes(average, model) == estimate + 4 * 21


@pytest.mark.parametrize("rate", [40, 50, 60, 70])
def test_schedules_are_those_that_were_published(rate):
  t = rate / 100
  config = training_runs.config(f"--preset=imagenet_resnet50_aig_{rate}")
  published = [1, 1, 0.8, 1, t, t, t, 1, t, t, t, t, t, 1, 0.7, 1]
  assert config.target_rates == published
  assert config.rate_loss == "per_layer"
  assert networks.always_open_blocks(config) == [0, 1, 3, 7, 13, 15]


@pytest.mark.parametrize("depth", [50, 101])
def test_imagenet_recipe_is_that_of_the_paper(depth):
  config = training_runs.config(f"--preset=imagenet_resnet{depth}")
  assert config.network == f"resnet{depth}"
  assert (config.batch_size, config.epochs) == (256, 100)
  assert (config.learning_rate, config.momentum) == (0.1, 0.9)
  assert config.learning_rate_boundaries == [30, 60, 90]
  assert config.learning_rate_decay == 0.1
  assert config.weight_decay == 1e-4
  assert (config.target_rates, config.rate_loss_weight) == ([0.7], 1.0)
  assert config.rate_loss == "per_batch"
