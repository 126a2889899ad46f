"""Tests of `benchmarks.c_api`, in the process that it needs."""

import subprocess
import sys

import numpy as np
import tensorflow as tf

from benchmarks import c_api
from tests.helpers import server_loader

_TWICE = f"""
import sys
import numpy as np
import {c_api.__name__} as c_api

model = c_api.Model(*sys.argv[1:3])
feeds = {{sys.argv[3]: np.arange(3, dtype=np.float32)}}
call = c_api.Call(model, feeds, [sys.argv[4]])
for _ in range(2):
  call()
print(*call.arrays()[0])
"""


def _model(folder):
  module = tf.Module()
  specs = [tf.TensorSpec([None], tf.float32, name="x")]
  module.double = tf.function(
      lambda x: {"y": tf.debugging.check_numerics(2 * x, "No number.")},
      input_signature=specs,
      autograph=False,
  )
  tf.saved_model.save(module, folder, signatures=module.double)
  return folder


def test_a_model_answers_and_raises_what_tensorflow_says(tmp_path):
  answers = server_loader.answers(
      _model(tmp_path),
      {
          "good": ("serving_default", {"x": np.float32([1, 2])}),
          "bad": ("serving_default", {"x": np.float32([1, np.nan])}),
      },
  )
  np.testing.assert_array_equal(answers["good"]["y"], [2, 4])
  assert "No number." in str(answers["bad"]["error"])


def _run_twice(model, feed, fetch):
  arguments = [tf.sysconfig.get_lib(), str(model), feed, fetch]
  return subprocess.run(
      [sys.executable, "-c", _TWICE, *arguments],
      cwd=server_loader.ROOT,
      capture_output=True,
      text=True,
      check=False,
  )


def test_a_call_can_be_made_again_and_tells_its_last_results(tmp_path):
  signature = server_loader.definitions(_model(tmp_path))["serving_default"]
  names = signature.inputs["x"].name, signature.outputs["y"].name
  done = _run_twice(tmp_path, *names)
  assert done.returncode == 0, done.stderr
  assert done.stdout.split() == ["0.0", "2.0", "4.0"]


def test_an_unknown_tensor_is_named(tmp_path):
  done = _run_twice(_model(tmp_path), "nothing:0", "nothing:0")
  assert "has no operation nothing" in done.stderr
