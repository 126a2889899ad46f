"""Tests of `export.saved_model.inference_graphs`."""

import numpy as np
import tensorflow as tf

from export.saved_model import graph_stripping
from export.saved_model import inference_graphs


class _Swish(tf.Module):

  @tf.function(
      input_signature=[tf.TensorSpec([None, 3]), tf.TensorSpec([], tf.bool)]
  )
  def run(self, values, is_open):
    # Of a value made in the branch, as a block's own layers make it.
    return {
        "result": tf.cond(
            is_open, lambda: tf.nn.silu(2 * values), lambda: values
        )
    }


def test_swish_in_a_block_that_may_be_skipped_is_loaded(tmp_path):
  module = _Swish()
  inference_graphs.save(module, tmp_path / "saved", module.run)
  graph_stripping.strip(tmp_path / "saved")
  run = tf.saved_model.load(str(tmp_path / "saved")).signatures[
      "serving_default"
  ]
  values = np.float32([[-1, 0, 2]])
  for is_open in (True, False):
    found = run(values=tf.constant(values), is_open=tf.constant(is_open))
    expected = 2 * values / (1 + np.exp(-2 * values)) if is_open else values
    np.testing.assert_allclose(found["result"], expected, rtol=1e-6)
