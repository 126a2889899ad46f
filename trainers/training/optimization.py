"""Optimizer, schedules and losses of a configuration."""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib

import keras

import pgates
from trainers.settings import config as config_lib


def learning_rate_schedule(
    config: config_lib.Config, *, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
  """The learning rate by step.

  Args:
    config: a `Config`.
    steps_per_epoch: of the data set.

  Returns:
    A number, or a Keras schedule.
  """
  total = max(config.epochs * steps_per_epoch, 1)  # Of no epochs, too.
  if config.learning_rate_schedule == "step":
    boundaries = config.learning_rate_boundaries
    return keras.optimizers.schedules.PiecewiseConstantDecay(
        # Keras changes after its boundary; the recipes, at it.
        [epoch * steps_per_epoch - 1 for epoch in boundaries],
        [
            config.learning_rate * config.learning_rate_decay**i
            for i in range(len(boundaries) + 1)
        ],
    )
  if config.learning_rate_schedule == "constant":
    return config.learning_rate
  warmup = round(config.warmup_epochs * steps_per_epoch)
  if not warmup:
    return keras.optimizers.schedules.CosineDecay(config.learning_rate, total)
  return keras.optimizers.schedules.CosineDecay(
      0.0,
      total - warmup,
      warmup_target=config.learning_rate,
      warmup_steps=warmup,
  )


def temperature_schedule(
    config: config_lib.Config, *, steps_per_epoch: int
) -> Callable[[int], float] | None:
  """The temperature of the gates by step.

  Args:
    config: a `Config`.
    steps_per_epoch: of the data set.

  Returns:
    A callable, step -> temperature; None for a constant one.
  """
  first, last = config.temperature, config.final_temperature
  num_steps = max(config.epochs * steps_per_epoch - 1, 1)
  if config.temperature_schedule == "linear":
    return lambda step: first + (last - first) * step / num_steps
  if config.temperature_schedule == "exponential":
    return lambda step: first * (last / first) ** (step / num_steps)
  return None


def make_optimizer(
    config: config_lib.Config, *, steps_per_epoch: int
) -> pgates.CoupledSGD:
  """Momentum SGD with the configuration's schedule, decay and average."""
  average = config.ema_momentum > 0
  return pgates.CoupledSGD(
      learning_rate_schedule(config, steps_per_epoch=steps_per_epoch),
      momentum=config.momentum,
      coupled_weight_decay=config.weight_decay,
      gate_learning_rate_multiplier=config.gate_learning_rate_multiplier,
      gate_weight_decay=config.gate_weight_decay,
      use_ema=average,
      ema_momentum=config.ema_momentum if average else 0.99,
  )


def make_loss(config: config_lib.Config) -> keras.losses.Loss:
  """Cross-entropy of logits, for one-hot labels where they are soft."""
  if not config.soft_labels:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  return keras.losses.CategoricalCrossentropy(
      from_logits=True, label_smoothing=config.label_smoothing
  )


def make_distillation(config: config_lib.Config) -> pgates.Distillation | None:
  """The teacher of a configuration; None where there is none.

  Args:
    config: a `Config`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it holds no network of ours.
  """
  if config.distill_from is None:
    return None
  path = pathlib.Path(config.distill_from)
  if path.is_dir():
    path = path / "model.keras"
  try:
    teacher = pgates.load_model(path)
  except (FileNotFoundError, ValueError) as error:
    raise type(error)(
        f"--distill_from={config.distill_from}: {error} Give the workdir of a "
        "finished run, or a .keras file of one."
    ) from error
  return pgates.Distillation(
      teacher,
      weight=config.distill_weight,
      temperature=config.distill_temperature,
  )


def has_rate_loss(config: config_lib.Config) -> bool:
  """Whether there is a penalty, and something that learns from it."""
  return config.learned_gates and config.rate_loss != "none"


def rate_loss_weight(
    config: config_lib.Config, *, steps_per_epoch: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
  """The weight of the penalty by step.

  Args:
    config: a `Config`.
    steps_per_epoch: of the data set.

  Returns:
    A number, or a Keras schedule.
  """
  warmup = round(config.gate_warmup_epochs * steps_per_epoch)
  if not warmup:
    return config.rate_loss_weight
  return keras.optimizers.schedules.PolynomialDecay(
      0.0, warmup, end_learning_rate=config.rate_loss_weight
  )


def make_rate_loss(
    config: config_lib.Config,
    *,
    steps_per_epoch: int,
    block_times: Sequence[float] | None = None,
) -> pgates.TargetRateLoss | None:
  """The penalty on the rates of open gates; None where nothing learns them.

  Args:
    config: a `Config`.
    steps_per_epoch: of the data set.
    block_times: seconds of each branch, for `rate_share="time"`.
  """
  if not has_rate_loss(config):
    return None
  targets = config.target_rates
  return pgates.TargetRateLoss(
      targets if len(targets) > 1 else targets[0],
      kind=config.rate_loss,
      weight=rate_loss_weight(config, steps_per_epoch=steps_per_epoch),
      one_sided=config.one_sided,
      share=config.rate_share if block_times is None else block_times,
  )
