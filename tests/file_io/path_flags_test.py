"""Tests of `file_io.path_flags`."""

import os

from absl import flags
import pytest

from file_io import path_flags


def _defined(define, **options):
  values = flags.FlagValues()
  define("place", None, "A place.", flag_values=values, **options)
  return values


@pytest.mark.parametrize("name", ["define", "define_data"])
def test_flag_is_a_path_of_the_module_that_defines_it(name):
  values = _defined(getattr(path_flags, name))
  assert [*values.flags_by_module_dict()] == [__name__]
  values(["program"])
  assert values.place is None
  values(["program", "--place=~/a"])
  assert values.place == os.path.expanduser("~/a")
  assert values.flags_into_string() == f"--place={values.place}\n"


def test_other_file_systems_are_refused_but_for_data():
  message = "flag --place=gs://b/a: gs:// is no file system of this machine"
  with pytest.raises(flags.IllegalFlagValueError, match=message):
    _defined(path_flags.define)(["program", "--place=gs://b/a"])
  values = _defined(path_flags.define_data)
  values(["program", "--place=gs://b/a"])
  assert values.place == "gs://b/a"


def test_flag_can_be_required():
  values = _defined(path_flags.define, required=True)
  with pytest.raises(flags.IllegalFlagValueError, match="--place"):
    values(["program"])
