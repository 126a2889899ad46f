"""Tests of pgates/training/batches.py."""

import numpy as np
import pytest
import tensorflow as tf

from pgates.training import batches

IMAGES = np.zeros((3, 4), np.float32)
LABELS = np.array([2, 0, 1])
WEIGHTS = np.array([1.0, 0.5, 2.0], np.float32)


def test_one_output_takes_labels_and_weights_as_they_are():
  inputs, labels, weights = batches.unpack(
      (IMAGES, LABELS, WEIGHTS), ["logits"]
  )
  assert inputs is IMAGES
  np.testing.assert_array_equal(labels["logits"], LABELS)
  np.testing.assert_array_equal(weights["logits"], WEIGHTS)
  for tensor in (labels["logits"], weights["logits"]):
    assert tf.is_tensor(tensor)


def test_weights_of_all_examples_are_those_of_each_output():
  labels = {"logits": LABELS, "other": LABELS[::-1]}
  names = ["logits", "other"]
  _, found, weights = batches.unpack((IMAGES, labels, WEIGHTS), names)
  assert list(found) == list(weights) == names
  np.testing.assert_array_equal(found["other"], LABELS[::-1])
  for name in names:
    np.testing.assert_array_equal(weights[name], WEIGHTS)


def test_outputs_without_weights_have_none():
  labels = {"logits": LABELS, "other": LABELS}
  names = ["logits", "other"]
  given = {"other": WEIGHTS}
  _, _, weights = batches.unpack((IMAGES, labels, given), names)
  assert weights["logits"] is None
  np.testing.assert_array_equal(weights["other"], WEIGHTS)
  _, _, weights = batches.unpack((IMAGES, labels), names)
  assert weights == {"logits": None, "other": None}


def test_missing_labels_are_refused():
  with pytest.raises(ValueError, match=r"labels are missing.*\['logits'\]"):
    batches.unpack((IMAGES,), ["logits"])
