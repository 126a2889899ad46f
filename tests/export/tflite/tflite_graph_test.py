"""Tests of `export.tflite.tflite_graph`."""

import pytest
import tensorflow as tf

from export.tflite import tflite_graph


def _content(function, *specs, custom=False):
  concrete = tf.function(
      function, input_signature=specs
  ).get_concrete_function()
  converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
  converter.allow_custom_ops = custom
  return converter.convert()


def test_operators_of_all_subgraphs_are_listed_with_their_types():
  def run(x, t):
    def branch():
      return tf.nn.conv2d(x, tf.ones([3, 3, 2, 2]), 1, "SAME")

    return tf.cond(t[0] > 0.5, branch, lambda: x)

  content = _content(
      run, tf.TensorSpec([1, 4, 4, 2]), tf.TensorSpec([1], tf.float32)
  )
  rows = tflite_graph.operators(content)
  (conv,) = (row for row in rows if row["operation"] == "CONV_2D")
  assert conv["subgraph"] > 0
  assert conv["types"] == ["FLOAT32"] * 3
  assert {"IF", "GREATER"} <= {
      r["operation"] for r in rows if not r["subgraph"]
  }
  tflite_graph.check(content, quantization="none")
  with pytest.raises(ValueError, match="stayed float32.*CONV_2D"):
    tflite_graph.check(content, quantization="int8")


def test_operations_that_are_not_tflites_are_refused():
  content = _content(
      lambda x: tf.raw_ops.Betainc(a=x, b=x, x=x),
      tf.TensorSpec([3], tf.float32),
      custom=True,
  )
  with pytest.raises(ValueError, match="not TF-Lite's own"):
    tflite_graph.check(content, quantization="none")
