"""Tests of `export.checks.self_check`."""

import numpy as np
import pytest

from export.checks import comparison
from export.checks import self_check


def test_a_model_that_does_not_run_is_an_error_with_its_words(tmp_path):
  (tmp_path / "bad.tflite").write_bytes(b"nothing")
  requests = {"one": ("serving_default", {"images": np.zeros((1, 2))})}
  with pytest.raises(comparison.CheckFailed, match="does not run"):
    self_check.run_fresh(tmp_path / "bad.tflite", requests)
