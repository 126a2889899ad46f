"""Which settings of a run go together."""

from typing import Any

import image_data
from pgates.networks import networks


def check(config: Any) -> None:
  """Raises a ValueError for settings that do not fit together.

  Args:
    config: a `config.Config`; messages name the flags.
  """
  image_data.SplitShares(config.validation_share, config.test_share)
  _check_normalization(config)
  _check_file(config)
  _check_warmups(config)
  _check_learning_rate(config)
  _check_temperature(config)
  _check_targets(config)
  _check_devices(config)


def _check_normalization(config):
  is_default = config.normalization == "unit"
  if networks.is_of_others(config.network) and not is_default:
    raise ValueError(
        f"--normalization is for networks of ours, and {config.network} has a "
        "preprocessing of its own (--input_scaling, where it is of a file). "
        f"Leave it at unit. Received: {config.normalization!r}"
    )


def _check_file(config):
  of_files = ("input_scaling", "new_head", "import_modules")
  given = [name for name in of_files if getattr(config, name)]
  if given and networks.file_of(config.network) is None:
    raise ValueError(
        f"--{', --'.join(given)} is for --network=file:PATH.keras. Received: "
        f"--network={config.network}"
    )


def _check_warmups(config):
  for name in ("warmup_epochs", "gate_warmup_epochs"):
    warmup = getattr(config, name)
    if warmup and warmup >= config.epochs:
      raise ValueError(
          f"{name} must be fewer than epochs. Received: {name}={warmup}, "
          f"epochs={config.epochs}"
      )


def _check_learning_rate(config):
  schedule = config.learning_rate_schedule
  if schedule == "step":
    _check_boundaries(config.learning_rate_boundaries)
  if config.warmup_epochs and schedule != "cosine":
    raise ValueError(
        "warmup_epochs is for --learning_rate_schedule=cosine. Received: "
        f"warmup_epochs={config.warmup_epochs}, learning_rate_schedule="
        f"{schedule!r}"
    )


def _check_boundaries(boundaries):
  rising = all(a < b for a, b in zip(boundaries, boundaries[1:], strict=False))
  if not boundaries or not rising:
    raise ValueError(
        "learning_rate_schedule='step' needs rising epochs in "
        f"--learning_rate_boundaries. Received: {boundaries}"
    )


def _check_temperature(config):
  if config.temperature_schedule != "constant" and not config.final_temperature:
    raise ValueError(
        f"temperature_schedule={config.temperature_schedule!r} needs "
        "--final_temperature."
    )
  if config.temperature_schedule == "constant" and config.final_temperature:
    raise ValueError(
        "final_temperature needs --temperature_schedule=linear or "
        f"exponential. Received: {config.final_temperature} with 'constant'"
    )


def _check_targets(config):
  if not config.target_rates:
    raise ValueError("--target_rates needs a rate, or one for each block.")
  if len(config.target_rates) != 1 and config.rate_loss != "per_layer":
    raise ValueError(
        "One target rate is for the whole network; a list, one for each "
        "block, needs --rate_loss=per_layer. Received: target_rates="
        f"{config.target_rates}, rate_loss={config.rate_loss!r}"
    )
  if config.rate_share == "time" and config.distribution == "multi_worker":
    raise ValueError(
        "rate_share='time' is for one process: each worker would measure other "
        "times. Give --rate_share=macs, or omit --distribution=multi_worker."
    )


def _check_devices(config):
  if config.jit_compile and config.num_virtual_devices > 1:
    raise ValueError(
        "XLA cannot compile a step of several virtual devices: give "
        "--jit_compile or --num_virtual_devices, not both."
    )
  others = ("one_device", "multi_worker")
  if config.num_virtual_devices > 1 and config.distribution in others:
    raise ValueError(
        "num_virtual_devices is for --distribution=mirrored. Received: "
        f"{config.num_virtual_devices} with distribution="
        f"{config.distribution!r}"
    )
