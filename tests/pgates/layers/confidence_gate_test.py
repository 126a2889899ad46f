"""Tests of `pgates.layers.confidence_gate`."""

import keras
import numpy as np
import pytest
from scipy import special

import pgates
from pgates.layers import confidence_gate
from tests.helpers import layer_contract


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize(
    "case", layer_contract.cases_of(confidence_gate), ids=str
)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


@pytest.mark.parametrize("classes", [2, 10])
def test_probability_is_that_of_a_wrong_answer(classes):
  logits = np.random.default_rng(0).normal(0, 3, (50, classes))
  received = special.expit(pgates.ConfidenceGate()(logits.astype("float32")))
  expected = 1 - special.softmax(logits, axis=1).max(axis=1)
  np.testing.assert_allclose(received, expected, rtol=1e-5)


def test_very_sure_answers_keep_their_order():
  """In float32, all of their probabilities are 1."""
  tops = np.array([20.0, 30.0, 60.0], np.float32)
  logits = np.stack([tops, 0 * tops, 0 * tops], axis=1)
  received = pgates.ConfidenceGate()(logits)
  np.testing.assert_allclose(received, np.log(2) - tops, rtol=1e-6)


def test_logits_stay_finite():
  logits = np.array([[1e30, 0, 0], [5, 5, 5], [-1e30, 0, -1e30]], np.float32)
  received = pgates.ConfidenceGate()(logits)
  expected = [np.log(2) - 80, np.log(2), np.log(2) - 80]
  np.testing.assert_allclose(received, expected, rtol=1e-6)


def test_block_shows_it_what_the_shortcut_says():
  shortcut = keras.layers.Dense(3, kernel_initializer="normal")
  block = pgates.GatedResidual(
      keras.layers.Dense(3),
      gate=pgates.ConfidenceGate(),
      shortcut=shortcut,
      activation=None,
  )
  inputs = np.random.default_rng(0).normal(0, 9, (4, 5)).astype("float32")
  *_, logits = block(inputs)
  np.testing.assert_array_equal(logits, block.gate(shortcut(inputs)))


@pytest.mark.parametrize("shape", [(None, 4, 4, 3), (None, 1), (None, None)])
def test_what_is_no_logits_of_classes_is_refused(shape):
  with pytest.raises(ValueError, match="logits .batch, classes. of two"):
    pgates.ConfidenceGate().build(shape)
