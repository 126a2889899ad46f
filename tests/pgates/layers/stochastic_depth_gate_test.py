"""Tests of `pgates.layers.stochastic_depth_gate`."""

import math

import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import gate_rules
from pgates.layers import stochastic_depth_gate
from tests.helpers import layer_contract


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize(
    "case", layer_contract.cases_of(stochastic_depth_gate), ids=str
)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


def test_stochastic_depth_learns_nothing():
  gate = pgates.StochasticDepthGate(0.8)
  gate.build((None, 5, 4, 3))
  assert not gate.trainable_variables


@pytest.mark.parametrize("survival", [0.5, 0.8, 1.0])
def test_stochastic_depth_drops_by_its_survival_probability(survival):
  gate = pgates.StochasticDepthGate(survival, seed=2)
  num_draws = 100_000
  logits = gate(tf.zeros([num_draws, 1]))
  opened, scales = gate.decide(logits, rule=gate_rules.parse("sampled"))
  standard_error = math.sqrt(survival * (1 - survival) / num_draws)
  assert abs(np.mean(opened) - survival) <= 4 * standard_error
  assert scales is None


@pytest.mark.parametrize("survival", [0.5, 0.8, 1.0])
def test_stochastic_depth_scales_by_its_survival_probability(survival):
  gate = pgates.StochasticDepthGate(survival)
  assert gate.default_rule == "expected"
  logits = gate(tf.zeros([3, 1]))
  assert np.isfinite(logits).all()
  opened, scales = gate.decide(logits, rule=gate_rules.parse(gate.default_rule))
  np.testing.assert_array_equal(opened, [1, 1, 1])
  np.testing.assert_allclose(scales, [survival] * 3, rtol=1e-6)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, math.nan])
def test_survival_probability_out_of_range_is_an_error(probability):
  message = rf"`survival_probability`.*\(0, 1\]. Received: {probability}"
  with pytest.raises(ValueError, match=message):
    pgates.StochasticDepthGate(probability)
