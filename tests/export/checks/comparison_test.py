"""Tests of `export.checks.comparison`."""

import numpy as np
import pytest

from export.checks import comparison


def _answers(num=4):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(num, 5))
  gate_logits = rng.normal(size=(num, 3)) + 0.01
  gates = (gate_logits > 0).astype(np.float32)
  expected = {"logits": logits, "gates": gates, "gate_logits": gate_logits}
  exponents = np.exp(logits)  # Of small numbers: no trap.
  received = {
      "probabilities": exponents / exponents.sum(axis=1, keepdims=True),
      "gates": gates.copy(),
  }
  return expected, received, np.full(num, 0.5)


def _compare(expected, received, thresholds, *, nearby=None, exact=True):
  return comparison.compare(
      expected, received, thresholds, nearby=nearby or expected, exact=exact
  )


def test_equal_answers_pass():
  near, largest, agreement = _compare(*_answers())
  assert near == 0 and largest < 1e-12 and agreement == 1


def test_a_wrong_gate_is_named():
  expected, received, thresholds = _answers()
  received["gates"][2, 1] = 1 - received["gates"][2, 1]
  with pytest.raises(comparison.CheckFailed, match="Gate 1 of example 2"):
    _compare(expected, received, thresholds)


def test_a_gate_at_its_threshold_may_fall_either_way_and_is_counted():
  expected, received, thresholds = _answers()
  expected["gate_logits"][2, 1] = 5e-5
  received["gates"][2, 1] = 1 - received["gates"][2, 1]
  received["probabilities"][2] = 0.2
  near, largest, _ = _compare(expected, received, thresholds)
  assert near == 1 and largest < 1e-12


@pytest.mark.parametrize(("shift", "passes"), [(5e-5, True), (5e-4, False)])
def test_logits_must_agree_to_one_in_ten_thousand(shift, passes):
  expected, received, thresholds = _answers()
  received["probabilities"][1, 0] *= 1 + shift
  arguments = (expected, received, thresholds)
  if passes:
    _compare(*arguments)
  else:
    with pytest.raises(comparison.CheckFailed, match="Logits differ"):
      _compare(*arguments)


def _shifted(expected, name, example, shift):
  """Answers of which one number of one example is another."""
  nearby = {key: value.copy() for key, value in expected.items()}
  nearby[name][example, 0] += shift
  return nearby


def test_an_example_whose_logits_rounding_moves_may_differ_by_as_much():
  expected, received, thresholds = _answers()
  nearby = _shifted(expected, "logits", 1, 2e-3)
  received["probabilities"][1, 0] *= 1 + 1e-3
  _compare(expected, received, thresholds, nearby=nearby)
  received["probabilities"][1, 0] *= 1 + 3e-3
  with pytest.raises(comparison.CheckFailed, match="at most 0.0"):
    _compare(expected, received, thresholds, nearby=nearby)


def test_other_examples_are_held_to_their_own_rounding():
  expected, received, thresholds = _answers()
  nearby = _shifted(expected, "logits", 1, 2e-3)
  received["probabilities"][2, 0] *= 1 + 1e-3
  with pytest.raises(comparison.CheckFailed, match="differ by 1.0.e-03"):
    _compare(expected, received, thresholds, nearby=nearby)


def test_a_gate_that_rounding_could_switch_may_be_either_way():
  expected, received, thresholds = _answers()
  logit = expected["gate_logits"][2, 0]
  received["gates"][2, 0] = 1 - received["gates"][2, 0]
  nearby = _shifted(expected, "gate_logits", 2, -1.1 * logit)
  assert _compare(expected, received, thresholds, nearby=nearby)[0] == 1
  nearby = _shifted(expected, "gate_logits", 2, -0.9 * logit)
  with pytest.raises(comparison.CheckFailed, match="Gate 0 of example 2"):
    _compare(expected, received, thresholds, nearby=nearby)


def test_rounding_that_is_no_number_allows_nothing():
  expected, received, thresholds = _answers()
  nearby = _shifted(expected, "logits", 1, np.nan)
  with pytest.raises(comparison.CheckFailed, match="Logits differ"):
    _compare(expected, received, thresholds, nearby=nearby)


def test_nan_is_no_agreement():
  expected, received, thresholds = _answers()
  received["probabilities"][0] = np.nan
  with pytest.raises(comparison.CheckFailed):
    _compare(expected, received, thresholds)


def test_quantized_answers_are_measured_only():
  expected, received, thresholds = _answers()
  received["gates"][0, 0] = 1 - received["gates"][0, 0]
  received["probabilities"][1, 0] += 0.1
  near, largest, agreement = _compare(
      expected, received, thresholds, exact=False
  )
  assert near == 0
  np.testing.assert_allclose([largest, agreement], [0.1, 11 / 12])


def test_large_logits_do_not_overflow():
  expected, received, thresholds = _answers()
  expected["logits"] = np.float32([[1000, 0], [0, 1000], [0, 0], [-1000, 0]])
  received["probabilities"] = np.array([[1, 0], [0, 1], [0.5, 0.5], [0, 1]])
  _, largest, _ = _compare(expected, received, thresholds)
  assert largest < 1e-12


def test_another_number_of_classes_is_named():
  expected, received, thresholds = _answers()
  received["probabilities"] = received["probabilities"][:, :4]
  with pytest.raises(comparison.CheckFailed, match=r"shape \(4, 4\), in Ker"):
    _compare(expected, received, thresholds)


def test_nan_of_a_gate_is_not_near_its_threshold():
  expected, received, thresholds = _answers()
  expected["gate_logits"][1] = np.nan
  received["gates"][1, 0] = 1 - received["gates"][1, 0]
  with pytest.raises(comparison.CheckFailed, match="Gate 0 of example 1"):
    _compare(expected, received, thresholds)
