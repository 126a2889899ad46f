"""Tests of `trainers.settings.setting`."""

import dataclasses
import math

from absl import flags
import pytest

from tests.helpers import training_runs
from trainers.settings import setting

_MODULE = "tests.settings_of_a_test"


@dataclasses.dataclass(frozen=True)
class _Own:
  own_count: int = setting.field(3, "How many", lowest=1, highest=9)
  own_share: float | None = setting.field(
      None, "Of it", kind=float, lowest=0.0, highest=1.0
  )
  own_kind: str = setting.field("plain", "Which", choices=["plain", "other"])
  own_flag: bool = setting.field(False, "Whether")
  own_text: str = setting.field("a", "What")
  own_steps: list[int] = setting.field([2], "Steps", lowest=1)


SETTINGS = setting.settings_of(_Own)


@pytest.fixture(name="defined")
def _defined():
  for name, (each, default) in SETTINGS.items():
    each.define(name, default, module_name=_MODULE)
  yield
  for name in SETTINGS:
    delattr(flags.FLAGS, name)


def _read():
  return {
      name: each.read(name, flags.FLAGS[name].value)
      for name, (each, _) in SETTINGS.items()
  }


def test_settings_are_the_fields_with_their_defaults():
  defaults = {name: default for name, (_, default) in SETTINGS.items()}
  assert defaults == dataclasses.asdict(_Own())
  kinds = {name: (s.kind, s.is_list) for name, (s, _) in SETTINGS.items()}
  assert kinds["own_share"] == (float, False)
  assert kinds["own_steps"] == (int, True)
  # Each record has a list of its own.
  assert _Own().own_steps is not _Own().own_steps


@pytest.mark.parametrize(
    "name, value",
    [
        *[("own_count", value) for value in (1, 9)],
        *[("own_share", value) for value in (None, 0.0, 1.0)],
        *[("own_steps", value) for value in ([], [1, 7])],
        ("own_kind", "other"),
        ("own_text", ""),
    ],
)
def test_value_in_its_range_is_taken(name, value):
  SETTINGS[name][0].check(name, value)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("own_count", 0, "--own_count takes whole numbers from 1 to 9. "),
        ("own_count", 10, "Received: 10"),
        ("own_share", math.nan, "--own_share takes numbers from 0 to 1. "),
        ("own_share", math.inf, "Received: inf"),
        ("own_kind", "odd", "one of plain, other. Received: odd"),
        (
            "own_steps",
            [1, 0],
            "whole numbers from 1 between commas. Received: 1,0",
        ),
    ],
)
def test_value_out_of_its_range_is_refused(name, value, message):
  with pytest.raises(ValueError) as error:
    SETTINGS[name][0].check(name, value)
  assert message in str(error.value)


@pytest.mark.usefixtures("defined")
def test_flags_have_the_defaults_and_belong_to_the_module():
  of_module = flags.FLAGS.flags_by_module_dict()[_MODULE]
  assert {flag.name for flag in of_module} == set(SETTINGS)
  assert flags.FLAGS["own_count"].help == "How many"
  with training_runs.parsed("--workdir=unused"):
    assert _Own(**_read()) == _Own()


@pytest.mark.usefixtures("defined")
def test_flags_are_read_as_what_they_are():
  with training_runs.parsed(
      *("--workdir=unused", "--own_count=4", "--own_share=0.5", "--own_flag"),
      *("--own_kind=other", "--own_text=b", "--own_steps=5,6"),
  ):
    assert _Own(**_read()) == _Own(4, 0.5, "other", True, "b", [5, 6])


@pytest.mark.usefixtures("defined")
@pytest.mark.parametrize("argument", ["--own_count=0", "--own_kind=odd"])
def test_flag_out_of_its_range_is_refused(argument):
  with pytest.raises(flags.IllegalFlagValueError):
    with training_runs.parsed("--workdir=unused", argument):
      pass


def test_list_that_is_not_of_numbers_is_refused():
  with pytest.raises(ValueError, match="--own_steps takes.*Received: 1,x"):
    SETTINGS["own_steps"][0].read("own_steps", ["1", "x"])
