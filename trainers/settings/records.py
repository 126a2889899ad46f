"""Settings of a run as text: as flags, and held against those of another."""

import dataclasses
from typing import Any

from trainers.settings import config as config_lib

# Settings that came later, and what runs without them did.
LATER = {"rand_augment": 0.0, "mixup": 0.0, "network_args": []}
# Settings that two runs of the same experiment may differ in.
LOCATIONS = ("data_dir",)


def to_flags(config: config_lib.Config) -> list[str]:
  """The arguments that `trainers.train` makes a configuration from."""
  arguments = []
  for name, value in dataclasses.asdict(config).items():
    if isinstance(value, bool):
      arguments.append(f"--{name}" if value else f"--no{name}")
    elif isinstance(value, list):
      arguments.append(f"--{name}={','.join(map(str, value))}")
    elif value is not None:
      arguments.append(f"--{name}={value}")
  return arguments


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
  """Settings that two runs differ in, but for where the data lie.

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
      if name not in LOCATIONS and ours.get(name) != theirs.get(name)
  ]
