"""Tests of `benchmarks.subjects`."""

import dataclasses

import numpy as np
import pytest

from benchmarks import subjects
from file_io import artifacts
import pgates
from tests.helpers import training_runs


@pytest.mark.slow
def test_random_network_has_gates_that_differ():
  subject = subjects.random_network("resnet18", 32)
  decided = pgates.with_strategy(subject.model, "map")
  outputs = decided.predict(subject.images, verbose=0)
  assert len(np.unique(outputs["gates"], axis=0)) > 4


@pytest.mark.slow
@pytest.mark.parametrize("with_reference", [True, False])
def test_trained_network_comes_with_its_data_and_its_reference(
    tmp_path, tiny_run, data_dir, with_reference
):
  config = training_runs.config(
      *(*training_runs.TINY, f"--data_dir={data_dir}", "--gate=none")
  )
  artifacts.write_json(
      tmp_path / "config.json", {"settings": dataclasses.asdict(config)}
  )
  plain = pgates.CifarResNet(8, input_shape=(8, 8, 1), gate="none")
  plain.save(tmp_path / "model.keras")
  subject = subjects.trained_network(
      tiny_run, data_dir, tmp_path if with_reference else None
  )
  assert subject.reference == ("ungated" if with_reference else "all_open")
  model = pgates.load_model(tiny_run / "model.keras")
  images, labels = next(iter(subject.test))
  np.testing.assert_array_equal(subject.images, images)
  assert len(labels) == 256
  for ours, theirs in (
      (subject.model, model),
      *([(subject.ungated, plain)] if with_reference else []),
  ):
    np.testing.assert_allclose(
        ours.predict(images, verbose=0)["logits"],
        theirs.predict(images, verbose=0)["logits"],
        rtol=1e-5,
        atol=1e-5,
    )
