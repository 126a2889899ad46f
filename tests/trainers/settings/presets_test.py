"""Tests of `trainers.settings.presets`."""

import dataclasses

from tests.helpers import training_runs
from trainers.settings import config as config_lib
from trainers.settings import presets


def _config(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


def test_presets_are_whole_and_valid():
  fields = {field.name for field in dataclasses.fields(config_lib.Config)}
  for preset in presets.PRESETS.values():
    assert preset.keys() <= fields
    assert dataclasses.asdict(_config(**preset)).items() >= preset.items()
