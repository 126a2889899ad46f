"""Tests of `export.timing.whole_times`."""

import itertools

import numpy as np
import pytest

from export.timing import engines
from export.timing import whole_times
import pgates
from tests.helpers import gated_networks


@pytest.mark.parametrize(
    "format", ["tflite", pytest.param("saved_model", marks=pytest.mark.slow)]
)
def test_written_networks_are_timed_in_their_format(format, tmp_path):
  model = gated_networks.resnet()
  opened = pgates.prune(model, [], always_open=range(3))
  for name, network, strategy in (
      ("all_open", opened, "always_open"),
      ("auto", model, "map"),
  ):
    whole_times.write(
        network, pgates.parse_strategy(strategy), tmp_path / name, format
    )
  found = whole_times.ratios(
      {name: tmp_path / name for name in ("all_open", "auto")},
      gated_networks.images(4),
      reference="all_open",
      format=format,
      batch_size=1,
      threshold=0.5,
  )
  assert found["all_open"] == 1.0 and found["auto"] > 0


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
def test_all_files_get_the_same_batches_and_turns(
    monkeypatch, batch_size, capsys
):
  clock = _Clock(monkeypatch, {"a": 0.3, "b": 0.6})
  found = whole_times.ratios(
      {"all_open": "b", "auto": "a"},
      np.zeros((5, 8, 8, 3), np.float32),
      reference="all_open",
      format="saved_model",
      batch_size=batch_size,
      clock=clock,
  )
  assert found == {"all_open": 1.0, "auto": pytest.approx(0.5)}
  runs = {
      name: [run[1:] for run in clock.runs if run[0] == name] for name in "ab"
  }
  assert runs["a"] == runs["b"]
  assert set(runs["a"]) == {(np.ndarray, (batch_size, 8, 8, 3))}
  assert not capsys.readouterr().out


def test_times_that_differ_from_round_to_round_are_told(monkeypatch, capsys):
  seconds = itertools.cycle([0.1, 0.1, 0.3])
  clock = _Clock(monkeypatch, {"a": 0.3, "b": 0.6})
  monkeypatch.setattr(
      engines,
      "load",
      lambda path, format, *, threshold: lambda images: setattr(
          clock, "now", clock.now + next(seconds)
      ),
  )
  whole_times.ratios(
      {"all_open": "b", "auto": "a"},
      np.zeros((5, 8, 8, 3), np.float32),
      reference="all_open",
      format="saved_model",
      batch_size=16,
      clock=clock,
  )
  assert "Are other programs at work?" in capsys.readouterr().out


def test_slow_files_are_run_less_often(monkeypatch):
  runs = {}
  for seconds in (0.001, 10.0):
    clock = _Clock(monkeypatch, {"a": seconds})
    whole_times.ratios(
        {"all_open": "a"},
        np.zeros((16, 8, 8, 3), np.float32),
        reference="all_open",
        format="tflite",
        batch_size=1,
        clock=clock,
    )
    runs[seconds] = len(clock.runs)
  # 100 rounds at most and 5 at least, and three before, of 16 images.
  assert runs == {0.001: 103 * 16, 10.0: 8 * 16}
