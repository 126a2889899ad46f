"""Tests of `export.time_ratios`."""

import numpy as np
import pytest
import tensorflow as tf

from export import time_ratios
from export.checks import self_check
from export.decisions import choice
from export.decisions import decided_networks
from export.inputs import data as data_lib
from export.timing import whole_times
import image_data
import pgates
from tests.helpers import gated_networks


@pytest.fixture(name="data", scope="module")
def _data():
  images = gated_networks.images(12)
  labels = np.arange(12) % 10
  return data_lib.Data(
      examples=self_check.Examples(
          images, labels, image_data.EvaluationPreparation((8, 8, 3))
      ),
      validation=tf.data.Dataset.from_tensor_slices((images, labels)).batch(5),
      calibration=images[:1],
      class_names=[str(i) for i in range(10)],
  )


@pytest.fixture(name="model", scope="module")
def _model():
  return gated_networks.resnet()


def _networks(model, ungated=None, strategy="threshold:0.4"):
  return time_ratios.Networks(model, pgates.parse_strategy(strategy), ungated)


def test_limit_has_the_blocks_that_most_images_open(model, data):
  limit = _networks(model).limit(data)
  decided = pgates.with_strategy(model, "threshold:0.4")
  gates = decided.predict(data.examples.images, verbose=0)["gates"]
  assert decided_networks.of_network(limit) == tuple(
      choice.OPEN if rate >= 0.5 else choice.REMOVED for rate in gates.mean(0)
  )
  assert 0 < (gates.mean(0) < 0.5).sum() < 3


@pytest.mark.parametrize(
    "with_ungated", [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_ratios_are_to_the_first_reference(
    model, data, with_ungated, monkeypatch, tmp_path
):
  seconds = {"ungated": 2.0, "all_open": 4.0, "limit": 1.0, "auto.tflite": 3.0}
  asked = []

  def ratios(paths, images, *, reference, **kwargs):
    np.testing.assert_array_equal(images, data.examples.images)
    asked.append((reference, kwargs))
    assert all(
        path.exists() for path in paths.values() if "auto" not in path.name
    )
    return {name: seconds[name] / seconds[reference] for name in paths}

  monkeypatch.setattr(whole_times, "ratios", ratios)
  plain = gated_networks.resnet(gate="none") if with_ungated else None
  row = {"path": "auto.tflite", "format": "tflite", "threshold": 0.4}
  found = time_ratios.measure(
      [row], _networks(model, plain), data, folder=tmp_path, batch_size=8
  )
  first = "ungated" if with_ungated else "all_open"
  assert asked == [
      (first, {"format": "tflite", "batch_size": 1, "threshold": 0.4})
  ]
  assert found.rows == [{**row, "time_ratio": 3 / seconds[first]}]
  assert found.limits == {"tflite": 1 / seconds[first]}
  names = ["ungated", "all_open"] if with_ungated else ["all_open"]
  assert [each["gating"] for each in found.references] == names
  for each in found.references:
    network = plain if each["gating"] == "ungated" else model
    strategy = pgates.with_strategy(network, "always_open")
    outputs = strategy.predict(data.examples.images, verbose=0)
    hits = outputs["logits"].argmax(-1) == data.examples.labels
    assert each["accuracy"] == pytest.approx(hits.mean())
    assert each["time_ratio"] == seconds[each["gating"]] / seconds[first]
