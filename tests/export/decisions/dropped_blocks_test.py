"""Tests of `export.decisions.dropped_blocks`."""

import numpy as np
import tensorflow as tf

from export.decisions import dropped_blocks
import pgates
from tests.helpers import gated_networks


def _data():
  images = gated_networks.images(40)
  return tf.data.Dataset.from_tensor_slices((images, np.zeros(40))).batch(16)


def test_fixed_map_of_independent_gates_is_map():
  model = gated_networks.resnet(gate="independent")
  for block, logit in zip(
      pgates.gated_blocks(model), (0.1, -0.1, 2.0), strict=True
  ):
    block.gate.logit.assign(logit)
  decided = dropped_blocks.decide(
      model, pgates.parse_strategy("map"), "fixed", _data()
  )
  assert decided.threshold is None
  images = gated_networks.images()
  received = decided.model.predict(images, verbose=0)
  assert received["gates"].tolist() == [[1, 0, 1]] * len(images)
  np.testing.assert_allclose(
      received["logits"], model.predict(images, verbose=0)["logits"], rtol=1e-4
  )


def test_fixed_gates_of_dependent_ones_follow_the_validation_data():
  model = gated_networks.resnet()
  rates, _ = pgates.measure_gates(model, _data(), strategy="threshold:0.4")
  decided = dropped_blocks.decide(
      model, pgates.parse_strategy("threshold:0.4"), "fixed", _data()
  )
  gates = decided.model.predict(gated_networks.images(), verbose=0)["gates"]
  assert gates[0].tolist() == (rates > 0.5).astype(float).tolist()
  assert len(set(gates[0])) == 2


def test_a_budget_becomes_a_threshold():
  model = gated_networks.resnet()
  decided = dropped_blocks.decide(
      model, pgates.parse_strategy("budget:0.6"), "dynamic", _data()
  )
  assert str(decided.strategy) == f"threshold:{decided.threshold!r}"
  assert decided.threshold == pgates.budget_threshold(model, 0.6, _data())
