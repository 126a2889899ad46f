"""Tests of `export.decisions.auto_gating`."""

import numpy as np
import pytest
import tensorflow as tf

from export.decisions import auto_gating
from export.decisions import choice
from export.timing import block_costs
from export.timing import block_times
from export.timing import whole_times
import pgates
from tests.helpers import gated_networks


@pytest.fixture(name="model", scope="module")
def _model():
  return gated_networks.resnet()


@pytest.fixture(name="data", scope="module")
def _data(model):
  images = gated_networks.images(24)
  # Of these labels, the network as it decides is always right.
  labels = model.predict(images, verbose=0)["logits"].argmax(-1)
  return tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)


def _choose(model, data, strategy="map", **options):
  return auto_gating.choose(
      model,
      pgates.parse_strategy(strategy),
      data,
      format="tflite",
      options=auto_gating.Options(**options),
  )


def _measured(monkeypatch, branch, gate, ratios):
  """As if blocks and networks took so long."""

  def measured(folder, load):
    del folder, load
    names = pgates.CifarResNet(8).macs.names
    return block_costs.Costs(
        tuple(block_costs.BlockCost(name, branch, gate) for name in names),
        unit="us",
        format="tflite",
    )

  monkeypatch.setattr(block_times, "measure", measured)
  monkeypatch.setattr(
      whole_times,
      "ratios",
      lambda paths, images, **_: {
          name: ratios.get(name, 2.0) for name in paths
      },
  )
  monkeypatch.setattr(auto_gating.probes, "write", lambda *_, **__: None)


def test_what_may_lose_nothing_loses_nothing(model, data):
  found = _choose(model, data, costs="macs", max_accuracy_drop=0.0)
  outputs = pgates.with_strategy(found.model, found.strategy).predict(
      gated_networks.images(24), verbose=0
  )
  labels = np.concatenate([labels for _, labels in data.as_numpy_iterator()])
  np.testing.assert_array_equal(outputs["logits"].argmax(-1), labels)
  assert "another machine" in found.outcome
  assert [row.name for row in found.rows] == [*model.macs.names]


def test_costly_gates_are_opened_or_removed(model, data, monkeypatch):
  _measured(monkeypatch, 1.0, 100.0, {"chosen": 0.8, "all_open": 1.0})
  found = _choose(model, data, max_accuracy_drop=100.0)
  assert choice.DECIDING not in found.decisions
  assert found.strategy == pgates.parse_strategy("always_open")
  assert all(b.gate is None for b in pgates.gated_blocks(found.model))
  assert found.outcome.startswith(
      "It takes 0.80 of the time of all blocks open. No gate decides"
  )


@pytest.mark.slow
def test_open_network_that_is_inaccurate_is_never_exported(
    model, data, monkeypatch
):
  """Though by the clock it is the fastest."""
  labels = np.concatenate([labels for _, labels in data.as_numpy_iterator()])

  def accuracy(network, strategy):
    decided = pgates.with_strategy(network, strategy)
    outputs = decided.predict(gated_networks.images(24), verbose=0)
    return np.mean(outputs["logits"].argmax(-1) == labels)

  assert accuracy(model, "always_open") < accuracy(model, "map") == 1.0
  _measured(monkeypatch, 100.0, 1.0, {"all_open": 1.0})
  found = _choose(model, data, max_accuracy_drop=0.0)
  assert accuracy(found.model, found.strategy) == 1.0
  assert "takes 2.00 of the time of all blocks open" in found.outcome
  assert [row.decision for row in found.rows] == [*found.decisions]
  assert {row.accuracy for row in found.rows} == {1.0}


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param("map", marks=pytest.mark.slow),
        pytest.param("threshold:0.4", marks=pytest.mark.slow),
        "settled:0.1",
    ],
)
def test_decisions_that_were_written_make_the_same_network(
    model, data, strategy
):
  found = _choose(model, data, strategy, costs="macs")
  smaller, left = auto_gating.restored(
      model,
      pgates.parse_strategy(strategy),
      data,
      found.description()["decisions"],
  )
  assert left == found.strategy
  images = gated_networks.images(24)
  for name, value in found.model.predict(images, verbose=0).items():
    np.testing.assert_array_equal(
        smaller.predict(images, verbose=0)[name], value
    )


def test_network_without_gates_has_nothing_to_choose(data):
  found = _choose(gated_networks.resnet(gate="none"), data)
  assert found.rows == [] and "no gates" in found.outcome


@pytest.mark.parametrize("points", [-0.1, 101.0, float("nan")])
def test_drop_that_is_no_number_of_points_is_refused(points):
  with pytest.raises(ValueError, match=f"--max_accuracy_drop .*: {points}"):
    auto_gating.Options(max_accuracy_drop=points)
