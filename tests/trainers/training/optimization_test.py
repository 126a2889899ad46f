"""Tests of `trainers.training.optimization`."""

import dataclasses

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import training_runs
from trainers.training import optimization

STEPS = 7  # Of an epoch.


def _rates(schedule, num_epochs):
  if not callable(schedule):
    return np.full(num_epochs * STEPS, schedule)
  return np.array([float(schedule(s)) for s in range(num_epochs * STEPS)])


def _learning_rates(*arguments, num_epochs):
  config = training_runs.config(f"--epochs={num_epochs}", *arguments)
  schedule = optimization.learning_rate_schedule(config, steps_per_epoch=STEPS)
  return _rates(schedule, num_epochs)


def test_step_schedule_changes_at_the_first_step_of_its_epochs():
  rates = _learning_rates(
      "--learning_rate_schedule=step",
      "--learning_rate_boundaries=1,3",
      "--learning_rate=0.4",
      "--learning_rate_decay=0.5",
      num_epochs=4,
  )
  by_epoch = np.array([0.4, 0.2, 0.2, 0.1])
  np.testing.assert_allclose(rates, np.repeat(by_epoch, STEPS), rtol=1e-6)


def test_constant_schedule_is_constant():
  rates = _learning_rates(
      "--learning_rate_schedule=constant", "--learning_rate=0.3", num_epochs=2
  )
  np.testing.assert_array_equal(rates, 0.3)


@pytest.mark.parametrize("warmup_epochs", [0, 1.5])
def test_cosine_schedule_rises_and_falls_to_zero(warmup_epochs):
  rates = _learning_rates(
      "--learning_rate=0.2", f"--warmup_epochs={warmup_epochs}", num_epochs=4
  )
  warmup = round(warmup_epochs * STEPS)
  falling = np.arange(4 * STEPS - warmup) / (4 * STEPS - warmup)
  expected = np.concatenate(
      [
          0.2 * np.arange(warmup) / max(warmup, 1),
          0.2 * 0.5 * (1 + np.cos(np.pi * falling)),
      ]
  )
  np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-8)
  assert rates[warmup] == rates.max() == np.float32(0.2)
  assert rates[-1] < 0.01 * 0.2


@pytest.mark.parametrize("kind", ["linear", "exponential"])
def test_temperature_goes_from_the_first_to_the_last_step(kind):
  config = training_runs.config(
      f"--temperature_schedule={kind}",
      "--temperature=2",
      "--final_temperature=0.5",
      "--epochs=3",
  )
  schedule = optimization.temperature_schedule(config, steps_per_epoch=STEPS)
  space = {"linear": np.linspace, "exponential": np.geomspace}[kind]
  expected = space(2.0, 0.5, 3 * STEPS)
  np.testing.assert_allclose(_rates(schedule, 3), expected, rtol=1e-12)


def test_temperature_of_a_single_step_is_the_first():
  config = training_runs.config(
      "--temperature_schedule=linear", "--final_temperature=0.5", "--epochs=1"
  )
  schedule = optimization.temperature_schedule(config, steps_per_epoch=1)
  assert schedule(0) == 1.0


def test_constant_temperature_needs_no_schedule():
  config = training_runs.config()
  assert optimization.temperature_schedule(config, steps_per_epoch=3) is None


def test_recipe_of_the_paper_is_that_of_the_preset():
  # The paper's: batch 256, 350 epochs, 0.1 divided by 10 at 150 and 250, weight
  # decay 5e-4 coupled, momentum 0.9, target 0.6 at weight 2, crop and flip.
  config = training_runs.config("--preset=cifar10_resnet110")
  assert config.network == "cifar_resnet110"
  assert (config.dataset, config.augmentation) == ("cifar10", "shift_flip")
  assert (config.batch_size, config.epochs) == (256, 350)
  schedule = optimization.learning_rate_schedule(config, steps_per_epoch=175)
  epochs = [0, 149.99, 150, 249.99, 250, 349]
  rates = [float(schedule(int(epoch * 175))) for epoch in epochs]
  np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])
  optimizer = optimization.make_optimizer(config, steps_per_epoch=175)
  settings = optimizer.get_config()
  assert settings["momentum"] == 0.9
  assert settings["coupled_weight_decay"] == 5e-4
  assert settings["gate_learning_rate_multiplier"] == 1.0
  assert not settings["weight_decay"]
  assert not settings["nesterov"]
  assert not settings["use_ema"]
  assert (
      _rate_loss(config).get_config()
      == pgates.TargetRateLoss(0.6, kind="per_batch", weight=2.0).get_config()
  )


def test_optimizer_takes_every_setting():
  config = training_runs.config(
      "--momentum=0.5",
      "--weight_decay=0.01",
      "--gate_learning_rate_multiplier=3",
      "--gate_weight_decay=0",
      "--ema_momentum=0.95",
  )
  settings = optimization.make_optimizer(
      config, steps_per_epoch=STEPS
  ).get_config()
  expected = {
      "momentum": 0.5,
      "coupled_weight_decay": 0.01,
      "gate_learning_rate_multiplier": 3.0,
      "gate_weight_decay": 0.0,
      "use_ema": True,
      "ema_momentum": 0.95,
  }
  assert settings.items() >= expected.items()


def test_loss_is_cross_entropy_of_smoothed_labels():
  logits = np.array([[2.0, -1.0, 0.5], [0.0, 0.3, -0.2]], np.float32)
  labels = np.array([0, 2])
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  plain = optimization.make_loss(training_runs.config())
  np.testing.assert_allclose(
      float(plain(labels, logits)), -np.mean(log_p[[0, 1], labels]), rtol=1e-6
  )
  smooth = optimization.make_loss(training_runs.config("--label_smoothing=0.3"))
  one_hot = np.eye(3, dtype=np.float32)[labels]
  target = 0.7 * one_hot + 0.3 / 3
  np.testing.assert_allclose(
      float(smooth(one_hot, logits)),
      -np.mean(np.sum(target * log_p, -1)),
      rtol=1e-6,
  )
  assert isinstance(smooth, keras.losses.CategoricalCrossentropy)


def _rate_loss(config):
  return optimization.make_rate_loss(config, steps_per_epoch=STEPS)


def _replaced(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


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
  config = _replaced(gate=gate)
  assert config.learned_gates == learned
  assert (_rate_loss(config) is not None) == learned
  assert _rate_loss(_replaced(gate=gate, rate_loss="none")) is None


def test_rate_loss_takes_every_setting():
  config = _replaced(
      target_rates=[0.4, 0.5],
      rate_loss="per_layer",
      rate_loss_weight=3.0,
      one_sided=True,
      rate_share="macs",
  )
  expected = pgates.TargetRateLoss(
      [0.4, 0.5], kind="per_layer", weight=3.0, one_sided=True, share="macs"
  )
  actual = _rate_loss(config)
  assert actual.get_config() == expected.get_config()
  single = _rate_loss(_replaced(target_rates=[0.4]))
  assert single.target_rate == 0.4


def test_weight_of_the_rate_loss_rises_over_its_warmup_epochs():
  config = _replaced(epochs=10, gate_warmup_epochs=2, rate_loss_weight=3.0)
  weight = _rate_loss(config).weight
  steps = np.arange(10 * STEPS)
  expected = 3.0 * np.minimum(steps / (2 * STEPS), 1.0)
  found = [float(weight(int(step))) for step in steps]
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_teacher_is_the_network_of_a_run(tmp_path):
  model = training_runs.dense_network(training_runs.config("--gate=none"))
  model.save(tmp_path / "model.keras")
  config = training_runs.config(
      f"--distill_from={tmp_path}",
      "--distill_weight=0.3",
      "--distill_temperature=2",
  )
  found = optimization.make_distillation(config)
  assert (found.weight, found.temperature) == (0.3, 2.0)
  for ours, theirs in zip(
      found.teacher.get_weights(), model.get_weights(), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)


def test_without_a_teacher_there_is_none():
  assert optimization.make_distillation(training_runs.config()) is None


def test_teacher_that_is_missing_or_of_another_kind_is_an_error(tmp_path):
  config = training_runs.config(f"--distill_from={tmp_path}")
  with pytest.raises(FileNotFoundError, match="--distill_from=.*There is no"):
    optimization.make_distillation(config)
  keras.Sequential([keras.Input((2,))]).save(tmp_path / "model.keras")
  with pytest.raises(ValueError, match="--distill_from=.*holds a Sequential"):
    optimization.make_distillation(config)
