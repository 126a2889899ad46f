"""Tests of `export.decisions.auto_gating`."""

import numpy as np
import pytest
import tensorflow as tf

from export.decisions import auto_gating
from export.decisions import choice
from export.timing import block_times
from export.timing import costs
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

  def block_costs(folder):
    del folder
    names = pgates.CifarResNet(8).macs.names
    return costs.Costs(
        tuple(costs.BlockCost(name, branch, gate) for name in names),
        unit="us",
        format="tflite",
    )

  monkeypatch.setattr(block_times, "measure", block_costs)
  monkeypatch.setattr(
      whole_times,
      "ratios",
      lambda paths, images, **_: {name: ratios[name] for name in paths},
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
  _measured(monkeypatch, 1.0, 100.0, {"auto": 0.8, "ungated": 1.0})
  found = _choose(model, data, max_accuracy_drop=100.0)
  assert choice.DECIDING not in found.decisions
  assert found.strategy == pgates.parse_strategy("always_open")
  assert all(b.gate is None for b in pgates.gated_blocks(found.model))
  assert found.outcome == "It takes 0.80 of the ungated network's time."


def test_ungated_network_is_exported_where_nothing_is_faster(
    model, data, monkeypatch
):
  ratios = {"auto": 1.1, "ungated": 1.0, "opened": 1.05}
  _measured(monkeypatch, 100.0, 1.0, ratios)
  found = _choose(model, data, max_accuracy_drop=0.0)
  assert set(found.decisions) == {choice.OPEN}
  assert found.model.macs.executed(np.ones((1, 3))) == found.model.macs.dense
  assert "the ungated network is exported" in found.outcome
  assert {row.decision for row in found.rows} == {choice.OPEN}


@pytest.mark.parametrize("strategy", ["map", "threshold:0.4", "settled:0.1"])
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
