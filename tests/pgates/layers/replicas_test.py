"""Tests of `pgates.layers.replicas`, and of gates' noise over replicas."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import gate_ops
from pgates.layers import replicas
from tests.helpers import parameters

SPLITS = [(4, 4), (7, 1), (8, 0), (0, 8), (2, 2, 2, 2), (3, 0, 4, 1)]


def _mirrored(num_replicas):
  # Collectives of several strategies in one process collide.
  return tf.distribute.MirroredStrategy(
      [f"CPU:{i}" for i in range(num_replicas)],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )


def _run(strategy, step, parts):
  """Runs a step on every replica with its own part; the results as lists."""

  def run():
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )
    outputs = strategy.run(step, (values,))
    return tf.nest.map_structure(strategy.experimental_local_results, outputs)

  return tf.function(run)()


def _split(batch, sizes):
  return np.split(batch, np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("sizes", SPLITS)
def test_place_counts_the_examples_before_and_of_all_replicas(sizes):
  def step(part):
    place = replicas.batch_place(tf.shape(part)[0])
    return place.offset, place.size, place.local_size

  parts = _split(np.zeros(8, np.float32), sizes)
  offsets, totals, local = _run(_mirrored(len(sizes)), step, parts)
  np.testing.assert_array_equal(offsets, np.cumsum([0, *sizes[:-1]]))
  np.testing.assert_array_equal(totals, [8] * len(sizes))
  np.testing.assert_array_equal(local, sizes)


def test_place_on_one_replica_is_the_whole_batch():
  place = replicas.batch_place(tf.constant(5))
  assert (place.offset, place.size, place.local_size) == (0, 5, 5)
  assert replicas.num_replicas() == 1


def test_global_batch_is_forgotten_at_its_end():
  with replicas.global_batch(tf.constant(5)) as outer:
    with replicas.global_batch(tf.constant(3)) as inner:
      assert replicas.current_batch() is inner
    assert replicas.current_batch() is outer
  assert replicas.current_batch() is None


def test_global_batch_is_forgotten_after_an_error():
  with pytest.raises(RuntimeError, match="planted"):
    with replicas.global_batch(tf.constant(5)):
      raise RuntimeError("planted")
  assert replicas.current_batch() is None


def test_sum_over_replicas_is_the_sum_and_its_gradient():
  def step(part):
    with tf.GradientTape() as tape:
      tape.watch(part)
      total = replicas.sum_over_replicas(tf.reduce_sum(part))
      loss = total**2
    return total, tape.gradient(loss, part)

  parts = _split(np.float32([1, 2, 3, 4]), (1, 3))
  totals, gradients = _run(_mirrored(2), step, parts)
  np.testing.assert_array_equal(totals, [10, 10])
  # Each replica has the same loss: the gradient sums over both, 2 * 2 * 10.
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, np.full(len(gradient), 40))


def test_sum_over_one_replica_is_the_identity():
  tensor = tf.constant([1.0, 2.0])
  assert replicas.sum_over_replicas(tensor) is tensor


@pytest.mark.parametrize("sizes", [(2, 1), (3, 0), (0, 3)])
def test_empty_replica_computes_with_an_example_of_zeros(sizes):
  def step(part):
    num_rows = []

    def function(batch):
      num_rows.append(tf.shape(batch["x"])[0])
      return {"twice": 2 * batch["x"]}

    outputs = replicas.call_on_some(function, {"x": part}, tf.shape(part)[0])
    return outputs["twice"], num_rows[0]

  batch = np.float32([[1, 2], [3, 4], [5, 6]])
  twice, num_rows = _run(_mirrored(2), step, _split(batch, sizes))
  np.testing.assert_array_equal(np.concatenate(twice), 2 * batch)
  np.testing.assert_array_equal(num_rows, np.maximum(sizes, 1))


def test_pad_batch_appends_examples_of_zeros():
  padded = replicas.pad_batch(tf.ones([2, 3, 1]), 2)
  np.testing.assert_array_equal(padded[:2], np.ones([2, 3, 1]))
  np.testing.assert_array_equal(padded[2:], np.zeros([2, 3, 1]))


def _gate():
  gate = pgates.DataIndependentGate(initial_probability=0.5, seed=3)
  gate.build((None, 1))
  return gate


@pytest.mark.parametrize(
    "sizes, in_global_batch",
    parameters.slow_but(
        [((7, 1), False), ((8, 0), True)],
        itertools.product(SPLITS, [False, True]),
    ),
)
def test_gates_do_not_depend_on_the_replicas(sizes, in_global_batch):
  logits = np.linspace(-1, 1, 8, dtype=np.float32)
  one = _gate()
  expected = np.stack([one.sample(tf.constant(logits)) for _ in range(3)])
  # Every example and step has noise of its own.
  assert len(np.unique(expected, axis=0)) > 1

  strategy = _mirrored(len(sizes))
  with strategy.scope():
    gate = _gate()

  def step(part):
    if not in_global_batch:
      return [gate.sample(part) for _ in range(3)]
    with replicas.global_batch(tf.shape(part)[0]):
      return [gate.sample(part) for _ in range(3)]

  steps = _run(strategy, step, _split(logits, sizes))
  received = np.stack([np.concatenate(parts) for parts in steps])
  np.testing.assert_array_equal(received, expected)


@pytest.mark.parametrize("sizes", parameters.slow_after(1, [[5, 3], [1, 7]]))
def test_gates_do_not_depend_on_the_replicas_under_xla(sizes):
  logits = np.linspace(-1, 1, 8, dtype=np.float32)

  @tf.function(jit_compile=True)
  def draw(part, seed, offset):
    return gate_ops.sample(part, temperature=1.0, seed=seed, offset=offset)

  # A variable, as in a gate: of a constant seed the key is folded before XLA.
  seed = tf.Variable([3, 0])
  expected = tf.function(draw)(tf.constant(logits), seed, tf.constant(0))

  def step(part):
    offset = replicas.batch_offset(tf.shape(part)[0])
    return draw(part, tf.convert_to_tensor(seed), offset)

  parts = _run(_mirrored(2), step, _split(logits, sizes))
  np.testing.assert_array_equal(np.concatenate(parts), expected)
