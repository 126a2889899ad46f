"""Tests of pgates/costs/model_macs.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

layers = keras.layers


def dense_block(units=6, *, gate=None, name=None, **kwargs):
  return pgates.GatedResidual(
      keras.Sequential([layers.Dense(units)]), gate=gate, name=name, **kwargs
  )


def num_parameters(model):
  return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


@pytest.mark.parametrize(
    "make, parameters, total, fixed, gateable",
    [
        (pgates.ResNet50, 25_557_032, 4.089, 0.480, 3.609),
        pytest.param(
            *(pgates.ResNet101, 44_549_160, 7.801, 0.480, 7.322),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_imagenet_resnets_have_the_published_sizes(
    make, parameters, total, fixed, gateable
):
  model = make(1000, gate="none")
  macs = pgates.count_macs(model)
  assert num_parameters(model) == parameters
  assert round(macs.dense / 1e9, 3) == total
  assert round(macs.fixed / 1e9, 3) == fixed
  assert round(sum(macs.branches) / 1e9, 3) == gateable
  assert macs.gates == (0,) * len(macs.branches)
  costs = {i: round(branch / 1e9, 3) for i, branch in enumerate(macs.branches)}
  assert costs.pop(0) == 0.180
  if make is pgates.ResNet50:
    assert len(costs) == 15
    assert [costs.pop(i) for i in (3, 7, 13)] == [0.270] * 3
  else:
    assert len(costs) == 32
    assert [costs.pop(i) for i in (3, 7, 30)] == [0.270] * 3
  assert set(costs.values()) == {0.218}


@pytest.mark.slow
def test_gates_of_resnet50_cost_little_and_count():
  model = pgates.ResNet50(1000, gate="dependent", always_open=(1,))
  macs = pgates.count_macs(model)
  channels = [64] + [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 2
  costs = [16 * c + 16 for c in channels]
  costs[1] = 0
  assert list(macs.gates) == costs
  assert sum(macs.branches) == 3_609_460_736
  assert 3e-5 < sum(costs) / macs.dense < 6e-5
  assert macs.always == macs.fixed + sum(costs)
  assert macs.dense == macs.always + sum(macs.branches)


def test_cifar_resnet20_equals_a_count_by_hand():
  macs = pgates.count_macs(pgates.CifarResNet(20, 10, gate="dependent"))
  fixed = 32 * 32 * 9 * 3 * 16 + 64 * 10  # Stem, classifier.
  branches, gates, channels = [], [], 16
  for size, width in ((32, 16), (16, 32), (8, 64)):
    for _ in range(3):
      gates.append(16 * channels + 16)
      branches.append(size * size * 9 * (channels * width + width * width))
      if channels != width:
        fixed += size * size * channels * width
      channels = width
  assert macs.branches == tuple(branches)
  assert macs.gates == tuple(gates)
  assert macs.fixed == fixed
  assert macs.names == tuple(
      f"stage{stage}_block{i}" for stage in (1, 2, 3) for i in range(3)
  )


BIG = pgates.ModelMacs(
    names=("a", "b", "c"),
    fixed=2**31 + 1,
    gates=(3, 0, 5),
    branches=(2**40 + 1, 2**53 + 2, 7),
)


def test_executed_is_exact_beyond_32_bits():
  executed = BIG.executed([[1, 1, 1], [0, 0, 0], [1, 0, 1], [0, 1, 0]])
  assert executed.dtype == tf.int64
  always = 2**31 + 1 + 8
  assert executed.numpy().tolist() == [
      always + 2**40 + 1 + 2**53 + 2 + 7,
      always,
      always + 2**40 + 1 + 7,
      always + 2**53 + 2,
  ]
  assert BIG.dense == executed[0]
  assert BIG.always == executed[1]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, bool])
def test_executed_takes_gates_of_any_type_within_a_graph(dtype):
  gates = np.array([[1, 0, 1]], dtype)
  executed = tf.function(BIG.executed)(tf.constant(gates))
  assert executed.numpy() == [2**31 + 9 + 2**40 + 8]


def test_scaled_branch_runs_whole():
  executed = BIG.executed(tf.constant([[0.3, 0.0, 1.0]]))
  assert executed.numpy() == [2**31 + 9 + 2**40 + 8]


def test_expected_is_the_mean_of_executed():
  macs = pgates.ModelMacs(
      names=tuple("abcd"),
      fixed=1_000,
      gates=(1, 2, 3, 4),
      branches=(2**33 + 1, 20_000, 7, 123_456_789),
  )
  gates = np.random.default_rng(0).integers(0, 2, (64, 4))
  # Both are linear in the gates, and 64 divides exactly.
  mean = sum(macs.executed(gates).numpy().tolist()) / 64
  expected = macs.expected(gates.mean(axis=0))
  assert expected.dtype == np.float64
  np.testing.assert_allclose(expected, mean, rtol=1e-15)
  np.testing.assert_allclose(
      macs.expected(gates), macs.executed(gates), rtol=1e-15
  )
  assert macs.expected(np.zeros(4)) == macs.always
  assert macs.expected(np.ones(4)) == macs.dense


def test_model_without_gated_blocks_is_all_fixed():
  inputs = keras.Input((5,))
  macs = pgates.count_macs(keras.Model(inputs, layers.Dense(4)(inputs)))
  assert macs == pgates.ModelMacs(names=(), fixed=20, gates=(), branches=())
  assert macs.executed(np.zeros((2, 0))).numpy().tolist() == [20, 20]
  assert macs.expected(np.zeros((2, 0))).tolist() == [20, 20]


def test_block_is_counted_by_shortcut_gate_and_branch():
  inputs = keras.Input((8, 8, 3))
  outputs, _, _ = pgates.GatedResidual(
      layers.Conv2D(6, 3, padding="same"),
      gate=pgates.DataDependentGate(hidden_units=4),
      shortcut=layers.Conv2D(6, 1),
      name="block",
  )(inputs)
  assert pgates.count_macs(keras.Model(inputs, outputs)) == pgates.ModelMacs(
      names=("block",),
      fixed=64 * 3 * 6,
      gates=(3 * 4 + 4,),
      branches=(64 * 9 * 3 * 6,),
  )


def test_removed_branch_costs_nothing():
  inputs = keras.Input((6,))
  outputs, _, _ = pgates.GatedResidual(None, shortcut=layers.Dense(3))(inputs)
  macs = pgates.count_macs(keras.Model(inputs, outputs))
  assert (macs.fixed, macs.gates, macs.branches) == (18, (0,), (0,))


def test_unknown_layer_in_a_branch_needs_macs():
  inputs = keras.Input((4, 6))

  def count(**kwargs):
    branch = layers.LSTM(6, return_sequences=True, name="odd")
    outputs, _, _ = pgates.GatedResidual(branch, **kwargs)(inputs)
    return pgates.count_macs(keras.Model(inputs, outputs))

  with pytest.raises(ValueError, match="odd.*LSTM.*`macs=`"):
    count()
  assert count(macs=144).branches == (144,)
  assert count(macs=0).branches == (0,)


def test_unknown_layer_in_the_trunk_is_refused():
  inputs = keras.Input((4, 6))
  outputs = layers.LSTM(6, return_sequences=True, name="odd")(inputs)
  with pytest.raises(ValueError, match="odd.*layer_macs.register"):
    pgates.count_macs(keras.Model(inputs, outputs))


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: keras.ops.matmul(x, x),
        lambda x: x @ x,
        lambda x: keras.ops.dot(x, x),
        lambda x: keras.ops.einsum("abc,acd->abd", x, x),
        lambda x: keras.ops.tensordot(x, x, axes=1),
        lambda x: keras.ops.conv(x, np.ones((1, 4, 4), np.float32)),
    ],
)
def test_operation_that_multiplies_matrices_is_refused(operation):
  inputs = keras.Input((4, 4))
  with pytest.raises(ValueError, match="not known"):
    pgates.count_macs(keras.Model(inputs, operation(inputs)))


def test_other_operations_are_free():
  inputs = keras.Input((4, 4))
  outputs = keras.ops.relu(2.0 * keras.ops.mean(inputs, axis=1) + 1.0)
  model = keras.Model(inputs, layers.Dense(3)(outputs))
  assert pgates.count_macs(model).dense == 12


def test_layer_called_twice_counts_twice():
  inputs = keras.Input((6,))
  shared, block = layers.Dense(6), dense_block(name="block")
  x, _, _ = block(shared(inputs))
  x, _, _ = block(shared(x))
  macs = pgates.count_macs(keras.Model(inputs, x))
  assert macs.fixed == 2 * 36
  assert macs.names == ("block", "block")
  assert macs.branches == (36, 36)


def nested_model(inputs):
  """24 + 4n fixed, 36 in a gated branch, on n pixels of 6 channels."""
  x = layers.GlobalAveragePooling1D()(layers.Conv1D(6, 1)(inputs))
  x, gate, logit = dense_block(gate=pgates.DataDependentGate(), name="inner")(x)
  return keras.Model(inputs, [x, gate, logit], name="nested")


def test_nested_model_counts_once_for_each_call_at_its_size():
  nested = nested_model(keras.Input((None, 2)))
  first, second = keras.Input((5, 2)), keras.Input((9, 2))
  (x, _, _), (y, _, _) = nested(first), nested(second)
  outputs = layers.Dense(3)(layers.Add()([x, y]))
  macs = pgates.count_macs(keras.Model([first, second], outputs))
  assert macs.fixed == (5 + 9) * 2 * 6 + 6 * 3
  assert macs.names == ("inner", "inner")
  assert macs.gates == (6 * 16 + 16,) * 2
  assert macs.branches == (36, 36)


def test_nested_model_without_gates_counts_once():
  inputs = keras.Input((6,))
  inner = keras.Model(inputs, layers.Dense(5)(inputs))
  outputs = keras.Sequential([inner, layers.Dense(4)])(inputs)
  outputs = keras.Model(inputs, inner(outputs[:, :1] + inputs))(inputs)
  model = keras.Model(inputs, outputs)
  assert pgates.count_macs(model).dense == 30 + 20 + 30


@pytest.mark.parametrize("as_dict", [False, True])
def test_nested_model_may_have_several_inputs(as_dict):
  a, b = keras.Input((4,), name="a"), keras.Input((3, 3), name="b")
  joined = layers.Concatenate()([layers.Dense(2)(a), layers.Flatten()(b)])
  inner = keras.Model({"a": a, "b": b} if as_dict else [a, b], joined)
  p, q = keras.Input((4,), name="a"), keras.Input((3, 3), name="b")
  outputs = layers.Dense(5)(inner({"a": p, "b": q} if as_dict else [p, q]))
  assert pgates.count_macs(keras.Model([p, q], outputs)).dense == 8 + 11 * 5


def test_functional_branch_counts_whole():
  inputs = keras.Input((6,))
  branch = keras.Model(inputs, layers.Dense(6)(layers.Dense(2)(inputs)))
  outputs, _, _ = pgates.GatedResidual(branch)(inputs)
  assert pgates.count_macs(keras.Model(inputs, outputs)).branches == (24,)


def test_layer_called_by_keyword_counts():
  inputs = keras.Input((6,))
  outputs = layers.Dense(5)(inputs=dense_block()(inputs=inputs)[0])
  macs = pgates.count_macs(keras.Model(inputs, outputs))
  assert (macs.fixed, macs.branches) == (30, (36,))


class Subclassed(keras.Model):

  def __init__(self):
    super().__init__()
    self.inner = layers.Dense(6)

  def build(self, input_shape):
    self.inner.build(input_shape)

  def call(self, inputs):
    return self.inner(inputs)

  def compute_output_shape(self, input_shape):
    return input_shape


def test_model_that_is_not_functional_is_refused():
  inputs = keras.Input((6,))
  model = Subclassed()
  with pytest.raises(ValueError, match="functional.*Subclassed"):
    pgates.count_macs(model)
  with pytest.raises(ValueError, match="functional.*Sequential"):
    pgates.count_macs(keras.Sequential([layers.Dense(3)]))
  trunk = keras.Model(inputs, model(inputs))
  with pytest.raises(ValueError, match="functional.*Subclassed"):
    pgates.count_macs(trunk)
  with pytest.raises(ValueError, match="functional.*Subclassed"):
    pgates.count_macs(model)
  outputs, _, _ = pgates.GatedResidual(Subclassed(), macs=36)(inputs)
  assert pgates.count_macs(keras.Model(inputs, outputs)).branches == (36,)


def test_size_that_is_not_fixed_is_refused():
  inputs = keras.Input((None, None, 3))
  outputs = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
  with pytest.raises(ValueError, match="not fixed"):
    pgates.count_macs(keras.Model(inputs, outputs))


def test_counting_leaves_the_model_as_it_was():
  model = pgates.CifarResNet(8, input_shape=(8, 8, 3))
  images = np.random.default_rng(0).normal(size=(2, 8, 8, 3))
  model.compile("sgd")
  before, weights = model(images)["logits"], model.get_weights()
  pgates.count_macs(model)
  assert model.compiled
  assert len(model.weights) == len(weights)
  np.testing.assert_array_equal(model(images)["logits"], before)
