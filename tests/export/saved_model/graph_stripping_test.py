"""Tests of `export.saved_model.graph_stripping`."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from export.saved_model import graph_stripping

_VALUES = np.array([3.0, -1.0, 4.0], np.float32)


def _branches(x):
  with tf.name_scope("a_long_scope"):
    return tf.cond(tf.reduce_sum(x) > 0, lambda: tf.exp(x), lambda: x - 1)


def _cases(x):
  index = tf.cast(x[0] > 0, tf.int32)
  return tf.switch_case(index, [lambda: x * 2, lambda: -x])


def _loop(x):
  return tf.map_fn(lambda value: value * 2, x)


def _control(x):
  with tf.name_scope("a_long_scope"):
    checked = tf.debugging.assert_less(x, 100.0)
    with tf.control_dependencies([checked]):
      return tf.identity(x + 1, name="checked")


def _collision(x):
  # A check keeps its name, which is the number of another node.
  return tf.ensure_shape(tf.square(x), [None], name="n0")


def _save(function, path):
  module = tf.Module()
  module.inner = tf.function(function, input_signature=[tf.TensorSpec([None])])
  module.serve = tf.function(
      lambda x: {"y": module.inner(x)},
      input_signature=[tf.TensorSpec([None], name="x")],
  )
  tf.saved_model.save(module, str(path), signatures=module.serve)
  return path


def _library(path):
  saved = saved_model_pb2.SavedModel()
  saved.ParseFromString((path / "saved_model.pb").read_bytes())
  return saved.meta_graphs[0].graph_def.library.function


@pytest.mark.parametrize(
    "function", [_branches, _cases, _loop, _control, _collision]
)
def test_a_slim_model_answers_as_before_in_fewer_bytes(tmp_path, function):
  path = _save(function, tmp_path / "model")
  before = (path / "saved_model.pb").stat().st_size
  graph_stripping.strip(path)
  assert (path / "saved_model.pb").stat().st_size < 0.95 * before
  loaded = tf.saved_model.load(str(path))
  served = loaded.signatures["serving_default"]
  for values in (_VALUES, -_VALUES):
    expected = function(tf.constant(values))
    np.testing.assert_array_equal(served(x=tf.constant(values))["y"], expected)
    np.testing.assert_array_equal(loaded.inner(values), expected)
  (tensor,) = served.inputs
  assert tensor.name == "x:0" and tensor.shape.rank == 1
  assert served.outputs[0].shape.rank == 1


def test_control_dependencies_hold(tmp_path):
  path = _save(_control, tmp_path / "model")
  graph_stripping.strip(path)
  served = tf.saved_model.load(str(path)).signatures["serving_default"]
  with pytest.raises(tf.errors.InvalidArgumentError):
    served(x=tf.constant([200.0]))


def test_shapes_copies_and_names_go(tmp_path):
  path = _save(_branches, tmp_path / "model")
  graph_stripping.strip(path)
  (branch,) = (
      function
      for function in _library(path)
      if any(node.op == "Exp" for node in function.node_def)
  )
  assert branch.signature.name[0] == "f" and branch.signature.name[1:].isdigit()
  assert [(n.name, n.op) for n in branch.node_def] == [("n0", "Exp")]
  assert [a.name for a in branch.signature.input_arg] == ["arg0"]
  assert list(branch.node_def[0].input) == ["arg0"]
  assert dict(branch.ret) == {"ret0": "n0:y:0"}
  for function in _library(path):
    for node in function.node_def:
      assert ("_output_shapes" in node.attr) <= (
          node.op in graph_stripping._CALLS
      )


def test_checks_keep_their_names(tmp_path):
  path = _save(_collision, tmp_path / "model")
  graph_stripping.strip(path)
  # Where a number would be such a name, the other nodes keep theirs.
  (nodes,) = (
      {node.name: node.op for node in function.node_def}
      for function in _library(path)
      if any(node.op == "Square" for node in function.node_def)
  )
  assert nodes == {"Square": "Square", "n0": "EnsureShape"}


def test_no_checksum_of_another_file_is_left(tmp_path):
  path = _save(_branches, tmp_path / "model")
  assert (path / "fingerprint.pb").exists()
  graph_stripping.strip(path)
  assert not (path / "fingerprint.pb").exists()
