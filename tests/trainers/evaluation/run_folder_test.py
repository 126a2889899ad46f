"""Tests of `trainers.evaluation.run_folder`."""

import pytest

from trainers.evaluation import run_folder


@pytest.mark.parametrize(
    ("times", "expected"), [([None, 3.0, 2.0, 4.0], 2.0), ([None], None)]
)
def test_time_of_a_step_is_that_of_the_fastest_epoch(times, expected):
  history = [{"seconds_per_step": time} for time in times]
  assert run_folder.seconds_per_step(history) == expected
