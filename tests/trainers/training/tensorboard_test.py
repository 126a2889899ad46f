"""Tests of `trainers.training.tensorboard`."""

import numpy as np
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import plugin_data_pb2
import tensorflow as tf

from tests.helpers import training_runs
from trainers.training import tensorboard


def _record(epoch, offset):
  names = ("loss", "task_loss", "rate_loss", "accuracy", "open_rate", "macs")
  record = {"epoch": epoch, "seconds": 3.0, "learning_rate": 0.5 / epoch}
  for prefix in ("", "val_"):
    offset += 16
    record |= {prefix + n: offset + i for i, n in enumerate(names)}
    record[f"{prefix}gate_open_rates"] = [offset / 64, offset / 128]
  return record


def test_scalars_are_those_of_the_epochs(tmp_path):
  names = ("stage1_block0", "b")
  writer = tensorboard.EpochWriter(tmp_path, block_names=names)
  writer.write(_record(1, 0))
  writer.write({**_record(2, 100), "temperature": 0.25})
  tags = ["loss/total", "loss/task", "loss/rate", "accuracy"]
  tags += ["gates/open_rate", "gates/macs"]
  for folder, offset in [("train", 16), ("validation", 32)]:
    expected = {}
    for epoch, first in [(1, offset), (2, 100 + offset)]:
      expected |= {(tag, epoch): first + i for i, tag in enumerate(tags)}
      # Blocks are grouped by what stands before the last underscore.
      expected["open_rates_stage1/block0", epoch] = first / 64
      expected["open_rates_blocks/b", epoch] = first / 128
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


class _Probe:
  """In place of a `GateProbe`."""

  labels = np.array([0, 0, 2])

  def sample(self):
    probabilities = np.array([[0.1, 0.9], [0.2, 0.9], [0.8, 0.9]])
    return probabilities, probabilities > 0.5


def _tensors(directory):
  """The tensors that event files hold, by tag."""
  events = event_accumulator.EventAccumulator(
      str(directory), size_guidance={"tensors": 0}
  ).Reload()
  return {
      tag: [tf.make_ndarray(e.tensor_proto) for e in events.Tensors(tag)]
      for tag in events.Tags()["tensors"]
  }


def test_probed_gates_are_histograms_and_a_heat_map(tmp_path):
  writer = tensorboard.EpochWriter(
      tmp_path, block_names=("a", "b"), probe=_Probe(), num_classes=3
  )
  for epoch in (1, 2):
    writer.write(_record(epoch, 0))
  tensors = _tensors(tmp_path / "validation")
  histograms = tensors["probabilities_blocks/a"]
  assert len(histograms) == 2
  for low, high, count in histograms[0]:  # [buckets, 3]
    inside = [p for p in (0.1, 0.2, 0.8) if low <= p < high or p == high == 0.8]
    assert count == len(inside)
  assert histograms[0][:, 2].sum() == 3
  width, height, png = tensors["open_rates_by_class"][0]
  assert (int(width), int(height)) == (32, 48)
  image = tf.io.decode_png(png).numpy()
  rates = np.array([[0.0, 1.0], [np.nan, np.nan], [1.0, 1.0]])
  np.testing.assert_array_equal(image, tensorboard.heat_map(rates))
  assert not any("prob" in t for t in _tensors(tmp_path / "train"))


def test_heat_map_is_brighter_where_more_are_open_and_grey_for_nothing():
  image = tensorboard.heat_map(np.array([[0.0, 0.5, 1.0, np.nan]]))
  assert image.shape == (16, 64, 3) and image.dtype == np.uint8
  trials = image.reshape(16, 4, 16, 3)
  assert (trials == trials[:1, :, :1]).all()
  closed, half, opened, nothing = trials[0, :, 0].astype(int)
  assert closed.sum() < half.sum() < opened.sum()
  assert opened[0] > opened[2] and closed[2] > closed[0]  # Yellow and blue.
  assert len(set(nothing)) == 1


def _hparams(directory):
  """What the plugin's events of a folder itself hold."""
  found = []
  for path in directory.glob("events.*"):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        content = value.metadata.plugin_data.content
        found.append(plugin_data_pb2.HParamsPluginData.FromString(content))
  return found


def test_settings_are_in_the_table_of_hparams(tmp_path):
  settings = {
      "seed": 3,
      "gate": "dependent",
      "target_rates": [0.4],
      "ema": None,
  }
  tensorboard.EpochWriter(tmp_path, block_names=(), settings=settings)
  (data,) = (d for d in _hparams(tmp_path) if d.HasField("session_start_info"))
  found = data.session_start_info.hparams
  assert found["seed"].number_value == 3
  assert found["gate"].string_value == "dependent"
  assert found["target_rates"].string_value == "[0.4]"
  assert found["ema"].string_value == "None"


def test_table_of_a_comparison_shows_what_differs_and_the_results(tmp_path):
  tensorboard.write_hparams_of(tmp_path, ["gate", "seed"])
  (data,) = (d for d in _hparams(tmp_path) if d.HasField("experiment"))
  assert [h.name for h in data.experiment.hparam_infos] == ["gate", "seed"]
  metrics = [(m.name.group, m.name.tag) for m in data.experiment.metric_infos]
  assert metrics == [
      ("validation", "accuracy"),
      ("validation", "gates/open_rate"),
      ("validation", "gates/macs"),
  ]
