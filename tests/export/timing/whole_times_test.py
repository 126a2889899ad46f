"""Tests of `export.timing.whole_times`."""

import numpy as np
import pytest

from export.timing import engines
from export.timing import whole_times
import pgates
from tests.helpers import gated_networks


@pytest.mark.parametrize("format", ["tflite", "saved_model"])
def test_written_networks_are_timed_in_their_format(format, tmp_path):
  model = gated_networks.resnet()
  opened = pgates.prune(model, [], always_open=range(3))
  for name, network, strategy in (
      ("ungated", opened, "always_open"),
      ("auto", model, "map"),
  ):
    whole_times.write(
        network, pgates.parse_strategy(strategy), tmp_path / name, format
    )
  found = whole_times.ratios(
      {name: tmp_path / name for name in ("ungated", "auto")},
      gated_networks.images(4),
      format=format,
      batch_size=1,
      threshold=0.5,
  )
  assert found["ungated"] == 1.0 and found["auto"] > 0


def test_threshold_reaches_the_gates(tmp_path):
  model, images = gated_networks.resnet(), gated_networks.images(5)
  strategy = pgates.parse_strategy("map")
  whole_times.write(model, strategy, tmp_path / "saved", "saved_model")
  for threshold in (0.0, 0.3, 1.0):
    run = engines.load(tmp_path / "saved", "saved_model", threshold=threshold)
    expected = pgates.with_strategy(model, f"threshold:{threshold}").predict(
        images, verbose=0
    )
    answers = {answer.shape: answer for answer in run(images)}
    np.testing.assert_allclose(
        answers[5, 10], expected["logits"], rtol=1e-4, atol=1e-4
    )


class _Clock:
  """Files take seconds by their names; every run is written down."""

  def __init__(self, monkeypatch, seconds):
    self.now, self.runs = 0.0, []

    def load(path, format, *, threshold):
      del format, threshold

      def run(images):
        self.now += seconds[path]
        self.runs.append((path, type(images), images.shape))

      return run

    monkeypatch.setattr(engines, "load", load)

  def __call__(self):
    return self.now


@pytest.mark.parametrize("batch_size", [1, 8, 32])
def test_all_files_get_the_same_batches_and_turns(monkeypatch, batch_size):
  clock = _Clock(monkeypatch, {"a": 0.3, "b": 0.6})
  found = whole_times.ratios(
      {"ungated": "b", "auto": "a"},
      np.zeros((5, 8, 8, 3), np.float32),
      format="saved_model",
      batch_size=batch_size,
      clock=clock,
  )
  assert found == {"ungated": 1.0, "auto": pytest.approx(0.5)}
  runs = {
      name: [run[1:] for run in clock.runs if run[0] == name] for name in "ab"
  }
  assert runs["a"] == runs["b"]
  assert set(runs["a"]) == {(np.ndarray, (batch_size, 8, 8, 3))}


def test_slow_files_are_run_less_often(monkeypatch):
  runs = {}
  for seconds in (0.001, 10.0):
    clock = _Clock(monkeypatch, {"a": seconds})
    whole_times.ratios(
        {"ungated": "a"},
        np.zeros((16, 8, 8, 3), np.float32),
        format="tflite",
        batch_size=1,
        clock=clock,
    )
    runs[seconds] = len(clock.runs)
  # 100 rounds at most and 5 at least, and three before, of 16 images.
  assert runs == {0.001: 103 * 16, 10.0: 8 * 16}
