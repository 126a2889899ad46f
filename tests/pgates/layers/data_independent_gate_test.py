"""Tests of `pgates.layers.data_independent_gate`."""

import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import data_independent_gate
from tests.helpers import layer_contract


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize(
    "case", layer_contract.cases_of(data_independent_gate), ids=str
)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


def test_independent_gate_has_one_parameter():
  gate = pgates.DataIndependentGate()
  gate.build((None, 5, 4, 3))
  assert [v.shape for v in gate.trainable_variables] == [()]


@pytest.mark.parametrize("probability", [0.02, 0.5, 0.87, 0.98])
def test_independent_gate_starts_at_its_initial_probability(probability):
  gate = pgates.DataIndependentGate(initial_probability=probability)
  np.testing.assert_allclose(
      tf.sigmoid(gate(tf.zeros((64, 5, 4, 3)))),
      np.full(64, probability),
      rtol=1e-6,
  )
