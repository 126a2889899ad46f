"""Tests of `trainers.evaluation.predictions`."""

import numpy as np
import pytest

from trainers.evaluation import predictions as predictions_lib


def _predictions(count):
  generator = np.random.default_rng(count)
  return predictions_lib.Predictions(
      generator.normal(size=(count, 3)),
      generator.integers(3, size=count),
      np.full(count, 7.0),
  )


def test_what_is_read_is_what_was_written(tmp_path):
  path = tmp_path / predictions_lib.NAME
  written = {"validation": _predictions(4), "test": _predictions(5)}
  predictions_lib.write(path, written)
  assert [each.name for each in tmp_path.iterdir()] == [path.name]
  read = predictions_lib.read(path)
  assert list(read) == list(written)
  for split, each in written.items():
    for name, array in vars(each).items():
      np.testing.assert_array_equal(getattr(read[split], name), array)


def test_right_is_the_largest_logit_at_the_label():
  found = predictions_lib.Predictions(
      np.array([[0.0, 2.0], [3.0, -1.0]]), np.array([1, 1]), np.ones(2)
  )
  np.testing.assert_array_equal(found.right, [True, False])


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
def test_another_file_is_named_with_what_writes_it(content, tmp_path):
  path = tmp_path / predictions_lib.NAME
  path.write_bytes(content)
  with pytest.raises(ValueError, match="evaluate --predictions. writes them"):
    predictions_lib.read(path)


def test_arrays_of_something_else_are_refused(tmp_path):
  path = tmp_path / predictions_lib.NAME
  np.savez(path, logits=np.ones(3))
  with pytest.raises(ValueError, match="does not hold the predictions"):
    predictions_lib.read(path)
