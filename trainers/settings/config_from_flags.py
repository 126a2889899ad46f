"""Flags of a training run, and the configuration they make."""

import os
from typing import Any

from absl import flags

from file_io import paths
import image_data
from pgates.networks import network_files
from pgates.networks import networks
from run_data import reader
from trainers.settings import config as config_lib
from trainers.settings import presets
from trainers.settings import setting
from trainers.settings import shared_flags

_PRESET = flags.DEFINE_enum(
    "preset",
    None,
    sorted(presets.PRESETS),
    "A whole recipe; flags given beside it override its values.",
)
_SETTINGS = setting.settings_of(config_lib.Config)
# Programs that train nothing have this flag, too.
_SHARED = {"data_dir": shared_flags.DATA_DIR}

for _name, (_each, _default) in _SETTINGS.items():
  if _name not in _SHARED:
    _each.define(_name, _default, module_name=__name__)


def make_config() -> config_lib.Config:
  """The configuration: a flag, else the preset's value, else the default.

  Raises:
    ValueError: if a setting is out of its range, or they do not fit together.
  """
  config = config_lib.Config(**read_settings())
  _check_targets_have_gates(config)
  return config


def _check_targets_have_gates(config):
  """Refuses a target that was asked for, and that nothing would pursue."""
  if not flags.FLAGS["target_rates"].present or config.learned_gates:
    return
  # A target of 1 asks for nothing: such networks run every block.
  if min(config.target_rates) < 1:
    raise ValueError(
        f"--target_rates is for gates that learn, and --gate={config.gate} has "
        f"none. Received: {config.target_rates}. Leave --target_rates out, or "
        "give --gate=dependent or independent."
    )


def read_settings(default_preset: str | None = None) -> dict[str, Any]:
  """The fields of `make_config`, not yet held against each other.

  Args:
    default_preset: name of the recipe where no --preset is given, or None.

  Raises:
    ValueError: if a list is not one of numbers.
  """
  values = flags.FLAGS
  name_of_preset = _PRESET.value or default_preset
  preset = presets.PRESETS[name_of_preset] if name_of_preset else {}
  settings = {}
  for name, (each, _) in _SETTINGS.items():
    if name in preset and not values[name].present:
      settings[name] = preset[name]
    else:
      settings[name] = each.read(name, values[name].value)
  image_folder = shared_flags.IMAGE_FOLDER.value
  if image_folder:
    if values["dataset"].present:
      raise ValueError("Give --dataset or --image_folder, not both.")
    folder = os.path.abspath(image_folder)
    settings["dataset"] = image_data.FOLDER_PREFIX + folder
  place = shared_flags.place_of_data()
  reader.check_data_dir(settings["dataset"], place.data_dir)
  if not paths.is_remote(settings["data_dir"]):
    settings["data_dir"] = os.path.abspath(settings["data_dir"])
  for name, (each, _) in _SETTINGS.items():
    if each.is_path and settings[name]:
      settings[name] = os.path.abspath(settings[name])
  file = networks.file_of(settings["network"])
  if file is not None:
    file = os.path.abspath(os.path.expanduser(file))
    settings["network"] = network_files.PREFIX + file
  return settings
