"""Tests of `trainers.settings.shared_flags`."""

import os

from absl import flags
from absl.testing import flagsaver

from trainers.settings import shared_flags


def test_data_lie_in_the_home_folder_by_default():
  with flagsaver.flagsaver():
    flags.FLAGS(["program", "--workdir=run"])
    home = os.path.expanduser("~")
    assert shared_flags.WORKDIR.value == "run"
    assert shared_flags.DATA_DIR.value == f"{home}/tensorflow_datasets"
