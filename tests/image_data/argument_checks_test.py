"""Tests of `image_data.argument_checks`."""

import numpy as np
import pytest

from image_data import argument_checks


@pytest.mark.parametrize("value", [3, np.int64(3), 4])
def test_integer_in_its_range_is_taken(value):
  argument_checks.check_integer("size", value, minimum=3)


def test_without_a_minimum_any_integer_is_taken():
  argument_checks.check_integer("seed", -5)


@pytest.mark.parametrize("value", [2, 3.0, "3", None])
def test_other_values_are_refused_by_name(value):
  message = f"size to be an integer of at least 3; got {value!r}"
  with pytest.raises(ValueError, match=message):
    argument_checks.check_integer("size", value, minimum=3)
  if value != 2:
    with pytest.raises(ValueError, match="size to be an integer; got"):
      argument_checks.check_integer("size", value)
