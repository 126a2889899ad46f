"""Settings of a run as text: as flags, and held against those of another."""

import dataclasses
from typing import Any

import image_data
from pgates.training import distillation
from trainers.settings import config as config_lib
from trainers.settings import setting

# Settings that came later, and what runs without them did.
LATER = {
    "rand_augment": 0.0,
    "mixup": 0.0,
    "exif_orientation": False,
    "max_image_pixels": image_data.DecodingRules.max_pixels,
    "network_args": [],
    "input_scaling": None,
    "new_head": False,
    "gate_warmup_epochs": 0.0,
    "idx_folder": None,
    "import_modules": [],
    "validation_share": image_data.SplitShares.validation,
    "test_share": image_data.SplitShares.test,
    "distill_from": None,
    "distill_weight": distillation.WEIGHT,
    "distill_temperature": distillation.TEMPERATURE,
}
# Settings that two runs of the same experiment may differ in.
LOCATIONS = ("data_dir", "idx_folder")


def to_flags(config: config_lib.Config) -> list[str]:
  """The arguments that `trainers.train` makes a configuration from."""
  arguments = place_flags(config)
  settings = dataclasses.asdict(config)
  del settings["data_dir"]
  if _is_folder(config.dataset):
    del settings["dataset"]
  for name, value in settings.items():
    if isinstance(value, bool):
      arguments.append(f"--{name}" if value else f"--no{name}")
    elif isinstance(value, list):
      arguments.append(f"--{name}={','.join(map(str, value))}")
    elif value is not None:
      arguments.append(f"--{name}={value}")
  return arguments


def place_flags(config: config_lib.Config) -> list[str]:
  """The arguments that tell any program where the data of a run are."""
  if _is_folder(config.dataset):
    path = config.dataset.removeprefix(image_data.FOLDER_PREFIX)
    return [f"--image_folder={path}"]
  return [f"--data_dir={config.data_dir}"]


def continued(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
  """Settings to continue a run by, perhaps one that knew fewer of them.

  Args:
    ours: settings by name.
    theirs: those of the run; empty where there is none yet.

  Returns:
    `ours`; what runs did before there was a setting goes before its default of
    today.
  """
  if not theirs:
    return ours
  defaults = setting.settings_of(config_lib.Config)
  before = {
      name: value
      for name, value in LATER.items()
      if name in ours and name not in theirs
      if ours[name] == defaults[name][1]
  }
  return ours | before


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
  """Settings that two runs differ in, but for where data and images lie.

  Args:
    ours: settings by name.
    theirs: the same of another run.

  Returns:
    A list of lines, `name: theirs there, ours here`.
  """
  # Of runs from before there was the setting.
  theirs = {k: v for k, v in LATER.items() if k in ours} | theirs
  return [
      f"{name}: {theirs.get(name)!r} there, {ours.get(name)!r} here"
      for name in sorted(set(ours) | set(theirs))
      if name not in LOCATIONS and not _agree(ours.get(name), theirs.get(name))
  ]


def _agree(our, their):
  # What is in the folder is compared when it is read.
  return our == their or (_is_folder(our) and _is_folder(their))


def _is_folder(value):
  return str(value).startswith(image_data.FOLDER_PREFIX)
