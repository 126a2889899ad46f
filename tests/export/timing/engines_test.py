"""Tests of `export.timing.engines`."""

import numpy as np

from export.timing import engines
from export.timing import lite_engine
from export.timing import whole_times
import pgates
from tests.helpers import gated_networks


def test_threshold_reaches_the_gates(tmp_path):
  model, images = gated_networks.resnet(), gated_networks.images(5)
  strategy = pgates.parse_strategy("map")
  whole_times.write(model, strategy, tmp_path / "saved", "saved_model")
  for threshold in (0.0, 0.3, 1.0):
    run = engines.load(tmp_path / "saved", "saved_model", threshold=threshold)
    decided = pgates.with_strategy(model, f"threshold:{threshold}")
    expected = decided(images, training=False)
    answers = {answer.shape: answer for answer in run(images)}
    np.testing.assert_allclose(
        answers[5, 10], expected["logits"], rtol=1e-4, atol=1e-4
    )


def test_model_without_thresholds_runs_without(tmp_path):
  model, images = gated_networks.resnet(), gated_networks.images(2)
  opened = pgates.prune(model, [], always_open=range(3))
  strategy = pgates.parse_strategy("always_open")
  whole_times.write(opened, strategy, tmp_path / "saved", "saved_model")
  run = engines.load(tmp_path / "saved", "saved_model")
  answers = {answer.shape: answer for answer in run(images)}
  np.testing.assert_allclose(
      answers[2, 10],
      opened.predict(images, verbose=0)["logits"],
      rtol=1e-4,
      atol=1e-4,
  )


def test_tflite_files_are_run_as_on_a_device(monkeypatch):
  asked = []
  monkeypatch.setattr(
      lite_engine, "load", lambda path, **kwargs: asked.append((path, kwargs))
  )
  engines.load("a.tflite", "tflite", threshold=0.25, num_threads=3)
  assert asked == [("a.tflite", {"threshold": 0.25, "num_threads": 3})]
