"""Flags that are paths: `~` is expanded, other file systems are refused."""

from typing import Any

from absl import flags

from file_io import paths

# What is defined here is a flag of the module that calls.
flags.disclaim_key_flags()


class _Local(flags.ArgumentParser):

  def parse(self, argument: str) -> str:
    return paths.local(argument)


class _OfData(flags.ArgumentParser):

  def parse(self, argument: str) -> str:
    return paths.of_data(argument)


def define(
    name: str, default: str | None, help: str, **options: Any
) -> flags.FlagHolder:
  """Defines a flag that is a path of this machine.

  Args:
    name: of the flag.
    default: path, or None.
    help: what it is.
    **options: of `absl.flags.DEFINE`.
  """
  return _define(_Local(), name, default, help, **options)


def define_data(
    name: str, default: str | None, help: str, **options: Any
) -> flags.FlagHolder:
  """Defines a flag that is a folder of prepared data sets, as `define`."""
  return _define(_OfData(), name, default, help, **options)


def _define(parser, name, default, help, **options):
  serializer = flags.ArgumentSerializer()
  return flags.DEFINE(
      parser, name, default, help, serializer=serializer, **options
  )
