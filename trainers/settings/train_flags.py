"""Flags of a training run, and the configuration they make."""

import os
from typing import Any

from absl import flags

import image_data
from trainers.settings import config as config_lib
from trainers.settings import flags as shared_flags
from trainers.settings import presets
from trainers.settings import setting

_PRESET = flags.DEFINE_enum(
    "preset",
    None,
    sorted(presets.PRESETS),
    "A whole recipe; flags given beside it override its values.",
)
_IMAGE_FOLDER = flags.DEFINE_string(
    "image_folder",
    None,
    "A folder train/CLASS/*.jpg (and val, test), instead of --dataset",
)
_SETTINGS = setting.settings_of(config_lib.Config)
# Programs that train nothing have this flag, too.
_SHARED = {"data_dir": shared_flags.DATA_DIR}

for _name, (_each, _default) in _SETTINGS.items():
  if _name not in _SHARED:
    _each.define(_name, _default, module_name=__name__)


def config_from_flags() -> config_lib.Config:
  """The configuration: a flag, else the preset's value, else the default.

  Raises:
    ValueError: if a setting is out of its range, or they do not fit together.
  """
  return config_lib.Config(**settings_from_flags())


def settings_from_flags() -> dict[str, Any]:
  """The fields of `config_from_flags`, not yet held against each other.

  Raises:
    ValueError: if a list is not one of numbers.
  """
  values = flags.FLAGS
  preset = presets.PRESETS[_PRESET.value] if _PRESET.value else {}
  settings = {}
  for name, (each, _) in _SETTINGS.items():
    if name in preset and not values[name].present:
      settings[name] = preset[name]
    else:
      settings[name] = each.read(name, values[name].value)
  if _IMAGE_FOLDER.value:
    if values["dataset"].present:
      raise ValueError("Give --dataset or --image_folder, not both.")
    folder = _absolute(_IMAGE_FOLDER.value)
    settings["dataset"] = image_data.FOLDER_PREFIX + folder
  settings["data_dir"] = _absolute(settings["data_dir"])
  if settings["init_from"]:
    settings["init_from"] = _absolute(settings["init_from"])
  return settings


def _absolute(path):
  return os.path.abspath(os.path.expanduser(path))
