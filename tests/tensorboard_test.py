"""Tests of `trainers.tensorboard`."""

from tests import training_runs
from trainers import tensorboard


def _record(epoch, offset):
  names = ("loss", "task_loss", "rate_loss", "accuracy", "open_rate", "macs")
  record = {"epoch": epoch, "seconds": 3.0, "learning_rate": 0.5 / epoch}
  for prefix in ("", "val_"):
    offset += 16
    record |= {prefix + n: offset + i for i, n in enumerate(names)}
    record[f"{prefix}gate_open_rates"] = [offset / 64, offset / 128]
  return record


def test_scalars_are_those_of_the_epochs(tmp_path):
  writer = tensorboard.EpochWriter(tmp_path, block_names=("a", "b"))
  writer.write(_record(1, 0))
  writer.write({**_record(2, 100), "temperature": 0.25})
  tags = ["loss/total", "loss/task", "loss/rate", "accuracy"]
  tags += ["gates/open_rate", "gates/macs"]
  for folder, offset in [("train", 16), ("validation", 32)]:
    expected = {}
    for epoch, first in [(1, offset), (2, 100 + offset)]:
      expected |= {(tag, epoch): first + i for i, tag in enumerate(tags)}
      expected["gate_open_rates/a", epoch] = first / 64
      expected["gate_open_rates/b", epoch] = first / 128
    if folder == "train":
      expected["schedule/learning_rate", 1] = 0.5
      expected["schedule/learning_rate", 2] = 0.25
      expected["schedule/temperature", 2] = 0.25
    assert training_runs.read_scalars(tmp_path / folder) == expected


def test_value_that_was_not_finite_is_left_out(tmp_path):
  writer = tensorboard.EpochWriter(tmp_path, block_names=("a", "b"))
  writer.write({**_record(1, 0), "val_loss": None})
  scalars = training_runs.read_scalars(tmp_path / "validation")
  assert ("loss/total", 1) not in scalars
  assert scalars["loss/task", 1] == 33.0
