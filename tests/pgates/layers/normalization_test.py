"""Tests of `pgates.layers.normalization`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from pgates.layers import normalization
from pgates.layers import replicas
from tests.helpers import layer_contract
from tests.helpers import parameters


@pytest.mark.parametrize("check", layer_contract.CHECKS)
@pytest.mark.parametrize(
    "case", layer_contract.cases_of(normalization), ids=str
)
def test_layer_keeps_the_contract(case, check, tmp_path):
  check(case, tmp_path)


def _mirrored(num_replicas):
  # Collectives of several strategies in one process collide.
  return tf.distribute.MirroredStrategy(
      [f"CPU:{i}" for i in range(num_replicas)],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )


def _examples(sizes):
  rng = np.random.default_rng(0)
  examples = rng.normal(2.0, 3.0, (sum(sizes), 4)).astype(np.float32)
  return np.split(examples, np.cumsum(sizes)[:-1])


def _train_once(layer, strategy, parts):
  """One training call, each replica with its part; the outputs, joined."""

  def step(part):
    with replicas.global_batch(tf.shape(part)[0]) as place:
      return replicas.call_on_some(
          lambda padded: layer(padded, training=True), part, place.local_size
      )

  def run():
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group])
    )
    return strategy.experimental_local_results(strategy.run(step, (values,)))

  return np.concatenate([output.numpy() for output in tf.function(run)()])


def _under(num_replicas, **kwargs):
  strategy = _mirrored(num_replicas)
  with strategy.scope():
    layer = pgates.BatchNormalization(**kwargs)
    layer.build((None, 4))
  return strategy, layer


@pytest.mark.parametrize("in_step", [False, True])
@pytest.mark.parametrize("synchronized", [False, True])
def test_one_replica_equals_keras_layer(synchronized, in_step):
  ours = pgates.BatchNormalization(
      momentum=0.8, epsilon=1e-2, synchronized=synchronized
  )
  keras_layer = keras.layers.BatchNormalization(momentum=0.8, epsilon=1e-2)
  (examples,) = _examples([7])
  for training in (True, False):
    expected = keras_layer(examples, training=training)
    if in_step:
      with replicas.global_batch(tf.constant(7)):
        received = ours(examples, training=training)
    else:
      received = ours(examples, training=training)
    np.testing.assert_allclose(received, expected, atol=1e-5)
  for one, other in zip(ours.weights, keras_layer.weights, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5)


def test_defaults_are_those_of_pytorch():
  config = pgates.BatchNormalization().get_config()
  assert (config["momentum"], config["epsilon"]) == (0.9, 1e-5)


@pytest.mark.parametrize(
    "sizes",
    [
        [3, 2],
        [5, 0],
        *parameters.slow_after(0, [[3, 0, 2, 1], [0, 1, 0, 0]]),
    ],
)
def test_synchronized_statistics_are_those_of_the_undivided_batch(sizes):
  parts = _examples(sizes)
  strategy, layer = _under(len(sizes), synchronized=True)
  outputs = _train_once(layer, strategy, parts)

  undivided = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
  expected = undivided(np.concatenate(parts), training=True)
  # The variance is a difference of means of squares near 13: 1e-5 of it.
  np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-4)
  for one, other in zip(layer.weights, undivided.weights, strict=True):
    for replica in strategy.experimental_local_results(one.value):
      np.testing.assert_allclose(replica, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", [(5, 0), (3, 0, 2, 1)])
def test_empty_replica_leaves_its_moving_statistics_as_they_were(sizes):
  parts = _examples(sizes)
  strategy, layer = _under(len(sizes), momentum=0.5)
  outputs = _train_once(layer, strategy, parts)
  assert outputs.shape == (sum(sizes), 4)
  assert np.isfinite(outputs).all()
  # Each replica keeps statistics of its own. The example of zeros would halve
  # those of the empty one.
  for i, part in enumerate(parts):
    mean, variance = np.zeros(4), np.ones(4)
    if len(part):
      mean, variance = part.mean(0) / 2, (1 + part.var(0)) / 2
    for variable, expected in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
      copy = strategy.experimental_local_results(variable.value)[i]
      np.testing.assert_allclose(copy, expected, rtol=1e-4, atol=1e-5)


def _model(synchronized):
  keras.utils.set_random_seed(1)
  inputs = keras.Input((6,))
  branch = keras.Sequential(
      [
          keras.layers.Dense(6),
          pgates.BatchNormalization(synchronized=synchronized),
      ]
  )
  gate = pgates.DataDependentGate(
      initial_probability=0.6, synchronized=synchronized, seed=5
  )
  outputs, gates, gate_logits = pgates.GatedResidual(branch, gate=gate)(inputs)
  logits = keras.layers.Dense(3)(outputs)
  return pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, [gates], [gate_logits])
  )


def _fit(strategy, *, synchronized):
  """17 examples in batches of 8: the last holds one example."""
  rng = np.random.default_rng(0)
  images = rng.normal(size=(17, 6)).astype(np.float32)
  labels = rng.integers(0, 3, 17)
  with strategy.scope():
    model = _model(synchronized)
    model.compile(
        keras.optimizers.SGD(0.1), rate_loss=pgates.TargetRateLoss(0.5)
    )
  data = tf.data.Dataset.from_tensor_slices((images, labels)).batch(8)
  history = model.fit(data, epochs=2, shuffle=False, verbose=0).history
  return model, history


REPLICAS = [2, pytest.param(4, marks=pytest.mark.slow)]


@pytest.mark.slow
@pytest.mark.parametrize("num_replicas", REPLICAS)
def test_unsynchronized_training_with_empty_replicas_has_no_nan(num_replicas):
  strategy = _mirrored(num_replicas)
  model, history = _fit(strategy, synchronized=False)
  for name, values in history.items():
    assert np.isfinite(values).all(), name
  for variable in model.weights:
    for copy in strategy.experimental_local_results(variable.value):
      assert np.isfinite(copy).all(), variable.path


@pytest.fixture(scope="module")
def fitted_on_one_replica():
  return _fit(tf.distribute.get_strategy(), synchronized=True)


@pytest.mark.slow
@pytest.mark.parametrize("num_replicas", REPLICAS)
def test_synchronized_training_with_empty_replicas_is_that_of_one(
    num_replicas, fitted_on_one_replica
):
  one, expected = fitted_on_one_replica
  several, history = _fit(_mirrored(num_replicas), synchronized=True)
  assert history.keys() == expected.keys()
  for name, values in history.items():
    np.testing.assert_allclose(values, expected[name], rtol=1e-3, atol=1e-5)
  for ours, theirs in zip(several.weights, one.weights, strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=theirs.path)


_SCALES = np.array([1, 0, 0, 1, 1, 0.3], np.float32)


def _twins(**kwargs):
  """Two layers of the same random weights."""
  layers = [pgates.BatchNormalization(**kwargs) for _ in range(2)]
  rng = np.random.default_rng(1)
  for layer in layers:
    layer.build((None, 5, 3))
  for first, second in zip(*(layer.weights for layer in layers), strict=True):
    value = rng.uniform(0.5, 1.5, first.shape)
    first.assign(value)
    second.assign(value)
  return layers


def _outputs_and_gradients(layer, function):
  rng = np.random.default_rng(2)
  inputs = tf.constant(rng.normal(2, 3, (6, 5, 3)).astype(np.float32))
  weights = tf.constant(rng.normal(size=(6, 5, 3)).astype(np.float32))
  scales = tf.constant(_SCALES)
  variables = [variable.value for variable in layer.trainable_variables]
  with tf.GradientTape() as tape:
    tape.watch([inputs, scales])
    outputs = function(inputs, scales)
    loss = tf.reduce_sum(weights * outputs)
  gradients = tape.gradient(loss, [inputs, scales, *variables])
  return outputs.numpy(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.3, "epsilon": 0.1, "synchronized": True},
        {"center": False},
        {"scale": False},
    ],
    ids=str,
)
def test_scaled_is_the_scaled_layer(options):
  ours, plain = _twins(**options)
  assert ours.can_scale()
  received, gradients = _outputs_and_gradients(ours, ours.scaled)
  expected, of_plain = _outputs_and_gradients(
      plain,
      lambda inputs, scales: scales[:, None, None]
      * plain(inputs, training=True),
  )
  # Gates are 0 or 1: there, bit for bit.
  np.testing.assert_array_equal(received[:5], expected[:5])
  np.testing.assert_allclose(received, expected, rtol=1e-5, atol=1e-6)
  for ours_, theirs in zip(gradients, of_plain, strict=True):
    np.testing.assert_allclose(ours_, theirs, rtol=1e-4, atol=1e-4)
  for a, b in zip(ours.weights, plain.weights, strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_scaled_computes_in_a_type_that_is_all_of_the_network(dtype):
  ours, plain = _twins(dtype=dtype)
  rng = np.random.default_rng(2)
  inputs = tf.cast(rng.normal(2, 3, (6, 5, 3)), dtype)
  received = ours.scaled(inputs, tf.ones(6))
  assert received.dtype == dtype
  np.testing.assert_array_equal(received, plain(inputs, training=True))
  for a, b in zip(ours.weights, plain.weights, strict=True):
    np.testing.assert_array_equal(a, b)


def test_scaled_keeps_the_compute_type():
  layer = pgates.BatchNormalization(dtype="mixed_bfloat16")
  layer.build((None, 3))
  inputs = tf.constant([[1.0, 2, 3], [3, 4, 9]], tf.bfloat16)
  received = layer.scaled(inputs, tf.ones(2))
  assert received.dtype == tf.bfloat16
  layer = pgates.BatchNormalization(dtype="mixed_bfloat16")
  np.testing.assert_array_equal(layer(inputs, training=True), received)


@pytest.mark.parametrize(
    "options",
    [
        {"axis": 1},
        {"trainable": False},
        {"renorm": True},
        {"activity_regularizer": "l2"},
    ],
    ids=str,
)
def test_unusual_layers_do_not_scale(options):
  assert not pgates.BatchNormalization(**options).can_scale()


def test_replicas_of_one_batch_do_not_scale():
  outside, inside = [], []
  strategy, layer = _under(2)

  def step():
    outside.append(layer.can_scale())
    with replicas.global_batch(tf.constant(3)):
      inside.append(layer.can_scale())

  tf.function(lambda: strategy.run(step))()
  assert set(outside) == {True} and set(inside) == {False}
