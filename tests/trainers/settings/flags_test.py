"""Tests of `trainers.settings.flags`."""

import os

from absl import flags
from absl.testing import flagsaver
import pytest

from trainers.settings import flags as shared_flags


def test_program_without_workdir_is_refused():
  with flagsaver.flagsaver():
    with pytest.raises(flags.IllegalFlagValueError, match="--workdir"):
      flags.FLAGS(["program"])


def test_data_lie_in_the_home_folder_by_default():
  with flagsaver.flagsaver():
    flags.FLAGS(["program", "--workdir=run"])
    home = os.path.expanduser("~")
    assert shared_flags.WORKDIR.value == "run"
    assert shared_flags.DATA_DIR.value == f"{home}/tensorflow_datasets"
