"""Tests of `trainers.acceleration.choosing`."""

import pytest

from tests.helpers import accelerations
from trainers.acceleration import choosing
from trainers.acceleration import steps as steps_lib


def _rows(tmp_path, networks, lowest):
  """Rows of networks: name -> (validation accuracy, time)."""
  accuracies = {name: accuracy for name, (accuracy, _) in networks.items()}
  times = {name: time for name, (_, time) in networks.items()}
  programs = accelerations.Programs(accuracies, times)
  steps = steps_lib.Steps(
      accelerations.settings(), tmp_path, programs, lambda line: None
  )
  found = [steps.given()]
  for name in list(networks)[1:]:
    found.append(steps.gated(float(name.removeprefix("rate_"))))
    steps.export(found[-1], reference=found[0], max_drop=1)
  return choosing.rows(found, steps.times(found), lowest_accuracy=lowest)


@pytest.mark.parametrize(
    "networks, expected",
    [
        ({"rate_0.8": (0.91, 0.9), "rate_0.6": (0.9, 0.8)}, "rate_0.6"),
        # Slower, and more accurate.
        ({"rate_0.8": (0.95, 0.7), "rate_0.6": (0.9, 0.8)}, "rate_0.8"),
        ({"rate_0.8": (0.89, 0.7), "rate_0.6": (0.9, 0.8)}, "rate_0.6"),
        ({"rate_0.8": (0.89, 0.7)}, "given"),
        ({"rate_0.8": (0.95, 0.971)}, "given"),
        ({"rate_0.8": (0.95, 0.969)}, "rate_0.8"),
        ({}, "given"),
    ],
)
def test_fastest_within_the_drop_is_chosen(networks, expected, tmp_path):
  rows = _rows(tmp_path, {"given": (0.91, 1.0), **networks}, lowest=0.9)
  chosen = [(row.format, row.network) for row in rows if row.chosen]
  assert chosen == [("saved_model", expected), ("tflite", expected)]


def test_row_has_what_was_measured(tmp_path):
  rows = _rows(
      tmp_path, {"given": (0.9, 1.0), "rate_0.5": (0.88, 0.6)}, lowest=0.85
  )
  assert rows[1] == choosing.Row(
      network="rate_0.5",
      format="saved_model",
      path=str(tmp_path / "rate_0.5/exported/model/1"),
      validation_accuracy=0.88,
      accuracy=0.87,
      macs=60.0,
      bytes=10,
      times={"1": 0.6, "8": 0.6},
      chosen=True,
  )


def test_table_begins_with_the_given_network_and_marks_the_chosen(tmp_path):
  rows = _rows(
      tmp_path, {"given": (0.9, 1.0), "rate_0.5": (0.88, 0.6)}, lowest=0.85
  )
  header, *lines = choosing.table(rows).splitlines()
  assert header.split() == [
      *("validation", "test", "MACs", "time,", "b1", "time,", "b8", "bytes")
  ]
  assert [line.split() for line in lines] == [
      *(
          "saved_model given 90.00% 89.00% 100.0% 1.00 1.00 10".split(),
          "saved_model rate_0.5 88.00% 87.00% 60.0% 0.60 0.60 10 *".split(),
          "tflite given 90.00% 89.00% 100.0% 1.00 10".split(),
          "tflite rate_0.5 88.00% 87.00% 60.0% 0.60 10 *".split(),
      )
  ]
