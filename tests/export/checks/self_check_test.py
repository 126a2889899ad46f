"""Tests of `export.checks.self_check`."""

import numpy as np
import pytest

from export.checks import self_check


def _answers(num=4):
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(num, 5))
  gate_logits = rng.normal(size=(num, 3)) + 0.01
  gates = (gate_logits > 0).astype(np.float32)
  expected = {"logits": logits, "gates": gates, "gate_logits": gate_logits}
  exponents = np.exp(logits)
  received = {
      "probabilities": exponents / exponents.sum(axis=1, keepdims=True),
      "gates": gates.copy(),
  }
  return expected, received, np.full(num, 0.5)


def test_equal_answers_pass():
  near, largest, agreement = self_check.compare(*_answers(), exact=True)
  assert near == 0 and largest < 1e-12 and agreement == 1


def test_a_wrong_gate_is_named():
  expected, received, thresholds = _answers()
  received["gates"][2, 1] = 1 - received["gates"][2, 1]
  with pytest.raises(self_check.CheckFailed, match="Gate 1 of example 2"):
    self_check.compare(expected, received, thresholds, exact=True)


def test_a_gate_at_its_threshold_may_fall_either_way_and_is_counted():
  expected, received, thresholds = _answers()
  expected["gate_logits"][2, 1] = 5e-5
  received["gates"][2, 1] = 1 - received["gates"][2, 1]
  received["probabilities"][2] = 0.2
  near, largest, _ = self_check.compare(
      expected, received, thresholds, exact=True
  )
  assert near == 1 and largest < 1e-12


@pytest.mark.parametrize(("shift", "passes"), [(5e-5, True), (5e-4, False)])
def test_logits_must_agree_to_one_in_ten_thousand(shift, passes):
  expected, received, thresholds = _answers()
  received["probabilities"][1, 0] *= 1 + shift
  arguments = (expected, received, thresholds)
  if passes:
    self_check.compare(*arguments, exact=True)
  else:
    with pytest.raises(self_check.CheckFailed, match="Logits differ"):
      self_check.compare(*arguments, exact=True)


def test_nan_is_no_agreement():
  expected, received, thresholds = _answers()
  received["probabilities"][0] = np.nan
  with pytest.raises(self_check.CheckFailed):
    self_check.compare(expected, received, thresholds, exact=True)


def test_quantized_answers_are_measured_only():
  expected, received, thresholds = _answers()
  received["gates"][0, 0] = 1 - received["gates"][0, 0]
  received["probabilities"][1, 0] += 0.1
  near, largest, agreement = self_check.compare(
      expected, received, thresholds, exact=False
  )
  assert near == 0
  np.testing.assert_allclose([largest, agreement], [0.1, 11 / 12])


def test_a_model_that_does_not_run_is_an_error_with_its_words(tmp_path):
  (tmp_path / "bad.tflite").write_bytes(b"nothing")
  requests = {"one": ("serving_default", {"images": np.zeros((1, 2))})}
  with pytest.raises(self_check.CheckFailed, match="does not run"):
    self_check.run_fresh(tmp_path / "bad.tflite", requests)
