"""Tests of `export.decisions.decided_networks`."""

import numpy as np
import pytest
import tensorflow as tf

from export.decisions import choice
from export.decisions import decided_networks
import pgates
from tests.helpers import gated_networks

DECIDING, OPEN, REMOVED = choice.DECIDING, choice.OPEN, choice.REMOVED
RULE = pgates.parse_strategy("threshold:0.4")


@pytest.fixture(name="model", scope="module")
def _model():
  return gated_networks.resnet()


def _logits(model, images):
  return model.predict(images, verbose=0)["logits"]


def _with_logits(model, logits, images):
  """What the whole network says where gates have these logits, or their own."""
  whole = gated_networks.resnet()
  for block, logit in zip(pgates.gated_blocks(whole), logits, strict=True):
    if logit is not None:
      block.gate.logit.kernel.assign(0 * block.gate.logit.kernel)
      block.gate.logit.bias.assign([logit])
  return _logits(pgates.with_strategy(whole, RULE), images)


def test_decisions_are_those_of_gates_that_never_change_their_mind(model):
  images = gated_networks.images(9)
  decisions = (OPEN, DECIDING, REMOVED)
  smaller, rule = decided_networks.applied(model, RULE, decisions)
  assert rule == RULE
  np.testing.assert_allclose(
      _logits(pgates.with_strategy(smaller, rule), images),
      _with_logits(model, (9.0, None, -9.0), images),
      rtol=1e-4,
      atol=1e-4,
  )
  assert decided_networks.of_network(smaller) == decisions


def test_where_no_gate_decides_there_is_no_rule(model):
  smaller, rule = decided_networks.applied(model, RULE, (OPEN, OPEN, REMOVED))
  assert rule == pgates.parse_strategy("always_open")
  assert smaller.macs.dense < model.macs.dense


@pytest.mark.parametrize(
    "removed",
    [
        pytest.param((), marks=pytest.mark.slow),
        pytest.param((1,), marks=pytest.mark.slow),
        {0, 2},
    ],
)
def test_opened_network_has_no_gate_and_not_what_is_removed(model, removed):
  opened = decided_networks.opened(model, removed)
  assert decided_networks.of_network(opened) == tuple(
      REMOVED if i in removed else OPEN for i in range(3)
  )
  images = gated_networks.images(5)
  logits = [-9.0 if i in removed else 9.0 for i in range(3)]
  np.testing.assert_allclose(
      _logits(opened, images),
      _with_logits(model, logits, images),
      rtol=1e-4,
      atol=1e-4,
  )
  # Of a network from which blocks are gone already.
  assert decided_networks.of_network(
      decided_networks.opened(opened, removed)
  ) == decided_networks.of_network(opened)


def test_accuracy_and_rates_are_counted_once_for_each_decision(model):
  images = gated_networks.images(10)
  outputs = pgates.with_strategy(model, RULE).predict(images, verbose=0)
  labels = outputs["logits"].argmax(-1)
  labels[:3] = (labels[:3] + 1) % 10
  batches = []

  def examples():
    for i in range(0, 10, 4):
      batches.append(i)
      yield images[i : i + 4], labels[i : i + 4]

  data = tf.data.Dataset.from_generator(
      examples,
      output_signature=(
          tf.TensorSpec([None, 8, 8, 3], tf.float32),
          tf.TensorSpec([None], tf.int64),
      ),
  )
  measure = decided_networks.Measurement(model, RULE, data)
  for _ in range(2):
    found = measure((DECIDING,) * 3)
    assert found.accuracy == pytest.approx(0.7)
    np.testing.assert_allclose(found.open_rates, outputs["gates"].mean(0))
  assert batches == [0, 4, 8]
  np.testing.assert_array_equal(measure.images(), images[:4])
