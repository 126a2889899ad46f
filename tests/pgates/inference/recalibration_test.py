"""Tests of pgates/inference/recalibration.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

pytestmark = pytest.mark.usefixtures("eagerly")

SHAPE = (8, 8, 3)


def images(count=10):
  generator = np.random.default_rng(0)
  # Brighter towards the end, so that batches differ.
  scales = np.linspace(50, 255, count)[:, None, None, None]
  return (scales * generator.uniform(0, 1, (count, *SHAPE))).astype(np.float32)


def batches(count=10, batch_size=4):
  labels = np.zeros(count, np.int32)
  data = tf.data.Dataset.from_tensor_slices((images(count), labels))
  return data.batch(batch_size)


def make_model(gate="independent", **kwargs):
  keras.utils.set_random_seed(0)
  return pgates.CifarResNet(8, 3, gate=gate, input_shape=SHAPE, **kwargs)


def set_logits(model, logit):
  for block in pgates.gated_blocks(model):
    block.gate.logit.assign(logit)


def norms(model):
  return [
      layer
      for layer in model._flatten_layers()
      if isinstance(layer, keras.layers.BatchNormalization)
  ]


def statistics(model):
  return [
      v.numpy()
      for norm in norms(model)
      for v in (norm.moving_mean, norm.moving_variance)
  ]


def assert_unchanged(values, before):
  for value, old in zip(values, before, strict=True):
    np.testing.assert_array_equal(value, old)


def mean_statistics(features):
  """The average over batches of each batch's mean and variance, in float64."""
  features = [np.asarray(batch, np.float64) for batch in features]
  means = [np.mean(batch, axis=(0, 1, 2)) for batch in features]
  variances = [np.var(batch, axis=(0, 1, 2)) for batch in features]
  return np.mean(means, axis=0), np.mean(variances, axis=0)


def assert_statistics(norm, features):
  mean, variance = mean_statistics(features)
  np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4)


def stem_features(model, x):
  """What the first batch norm reads."""
  stem = model.get_layer("stem_conv")
  return stem(model.get_layer("normalization")(x))


@pytest.mark.usefixtures("traced")
def test_first_statistics_are_the_average_of_those_of_batches():
  model = make_model()
  # Of 4, 4 and 2 examples: each batch has the same weight.
  pgates.reestimate_batch_norm(model, batches(), 3)
  features = [stem_features(model, x) for x, _ in batches()]
  assert_statistics(model.get_layer("stem_bn"), features)
  weighted = np.mean(np.concatenate(features), axis=(0, 1, 2))
  assert np.max(np.abs(weighted - mean_statistics(features)[0])) > 1e-3


def test_closed_examples_count_in_the_branch_they_bypass():
  model = make_model()
  set_logits(model, -9.0)
  pgates.reestimate_batch_norm(model, batches(), 2)

  def read_by_branch(x):
    # Batches are normalised by their own statistics meanwhile.
    features = np.asarray(stem_features(model, x), np.float64)
    mean, variance = mean_statistics([features])
    x = np.maximum((features - mean) / np.sqrt(variance + 1e-5), 0)
    return block.branch.get_layer("conv1")(x.astype(np.float32))

  block = pgates.gated_blocks(model)[0]
  assert_statistics(
      block.branch.get_layer("bn1"),
      [read_by_branch(x) for x, _ in batches().take(2)],
  )


def test_statistics_do_not_depend_on_those_before():
  model = make_model("dependent")
  generator = np.random.default_rng(1)
  results = []
  for _ in range(2):
    for norm in norms(model):
      norm.moving_mean.assign(generator.normal(0, 9, norm.moving_mean.shape))
      norm.moving_variance.assign(
          generator.uniform(1, 9, norm.moving_mean.shape)
      )
    pgates.reestimate_batch_norm(model, batches(), 2)
    results.append(statistics(model))
  # The gates' own batch norms are among them.
  assert len(results[0]) == 2 * (1 + 2 * 3 + 2 + 3)
  for value, other in zip(*results, strict=True):
    np.testing.assert_allclose(value, other, atol=1e-6)


@pytest.mark.parametrize(
    "strategy", [pytest.param("map", marks=pytest.mark.slow), "sampled"]
)
def test_nothing_else_changes(strategy):
  model = make_model("dependent")
  frozen = [v.numpy() for v in model.trainable_variables]
  before = statistics(model)
  momenta = [0.5 + 0.01 * i for i in range(len(norms(model)))]
  for norm, momentum in zip(norms(model), momenta, strict=True):
    norm.momentum = momentum
  pgates.reestimate_batch_norm(model, batches(), 2, strategy=strategy)
  assert_unchanged(model.trainable_variables, frozen)
  assert [norm.momentum for norm in norms(model)] == momenta
  for value, old in zip(statistics(model), before, strict=True):
    assert np.all(value != old)


def test_only_the_batches_asked_for_are_read():
  model, other = make_model(), make_model()
  pgates.reestimate_batch_norm(model, batches(), 1)
  pgates.reestimate_batch_norm(other, batches().take(1), 1)
  assert_unchanged(statistics(model), statistics(other))


def test_statistics_are_those_of_the_strategy():
  results = {}
  for strategy in ("map", "always_open", "sampled", "expected"):
    model = make_model()
    set_logits(model, 0.1)
    pgates.seed_gates(model, 0)
    pgates.reestimate_batch_norm(model, batches(), 3, strategy=strategy)
    results[strategy] = statistics(model)
  for strategy in ("always_open", "sampled", "expected"):
    # The stem and the first branch are before every decision; MAP opens all.
    for i, (value, other) in enumerate(
        zip(results[strategy], results["map"], strict=True)
    ):
      same = np.allclose(value, other, rtol=1e-4, atol=1e-5)
      assert same == (i < 6 or strategy == "always_open"), (strategy, i)


def test_retrained_predictions_use_the_new_statistics():
  model = make_model()
  derived = pgates.with_strategy(model, "map")
  before = derived.predict(images(), verbose=0)["logits"]
  pgates.reestimate_batch_norm(derived, batches(), 2)
  after = derived.predict(images(), verbose=0)["logits"]
  assert np.max(np.abs(after - before)) > 1e-2
  np.testing.assert_allclose(after, derived(images())["logits"], atol=1e-5)


def test_too_few_batches_are_refused_and_leave_the_statistics():
  model = make_model()
  before = statistics(model)
  momenta = [norm.momentum for norm in norms(model)]
  with pytest.raises(ValueError, match="3 batches; 4 were asked"):
    pgates.reestimate_batch_norm(model, batches(), 4)
  assert_unchanged(statistics(model), before)
  assert [norm.momentum for norm in norms(model)] == momenta


@pytest.mark.parametrize("num_batches", [0, -1])
def test_number_of_batches_is_positive(num_batches):
  with pytest.raises(ValueError, match=f"positive. Received: {num_batches}"):
    pgates.reestimate_batch_norm(make_model(), batches(), num_batches)


@pytest.mark.parametrize(
    "strategy", ["ensemble:2", "prune:0.5", "budget:0.5", "maps", None]
)
def test_strategy_is_a_rule(strategy):
  model = make_model()
  before = statistics(model)
  with pytest.raises(ValueError, match=f"Expected a rule.*{strategy}"):
    pgates.reestimate_batch_norm(model, batches(), 1, strategy=strategy)
  assert_unchanged(statistics(model), before)


def failing_batches(position):
  """Two batches, of which one cannot be read or does not fit."""

  def generate():
    for i in range(2):
      if i == position:
        raise RuntimeError("broken file")
      yield images(4), np.zeros(4)

  signature = (tf.TensorSpec((4, *SHAPE)), tf.TensorSpec([4]))
  return tf.data.Dataset.from_generator(generate, output_signature=signature)


def odd_batches():
  """Two batches, the last of images of the wrong number of channels."""

  def generate():
    yield images(4), np.zeros(4)
    yield images(4)[..., :1], np.zeros(4)

  signature = (tf.TensorSpec((4, 8, 8, None)), tf.TensorSpec([4]))
  return tf.data.Dataset.from_generator(generate, output_signature=signature)


@pytest.mark.parametrize(
    "data",
    [failing_batches(0), failing_batches(1), odd_batches()],
    ids=["first unread", "last unread", "last does not fit"],
)
def test_failing_data_leaves_the_statistics(data):
  model = make_model()
  before = statistics(model)
  with pytest.raises((tf.errors.OpError, ValueError)):
    pgates.reestimate_batch_norm(model, data, 2)
  assert_unchanged(statistics(model), before)
  assert {norm.momentum for norm in norms(model)} == {0.9}


def test_norms_of_plain_keras_and_of_nested_models_are_found():
  inner_inputs = keras.Input((3,))
  inner = keras.Model(
      inner_inputs, keras.layers.BatchNormalization()(inner_inputs)
  )
  inputs = keras.Input((3,))
  block = pgates.GatedResidual(
      keras.layers.Dense(3), gate=pgates.DataIndependentGate(), activation=None
  )
  x, gate, logit = block(inner(inputs))
  model = keras.Model(inputs, pgates.gated_outputs(x, [gate], [logit]))
  data = np.random.default_rng(0).normal(2, 3, (8, 3)).astype(np.float32)
  pgates.reestimate_batch_norm(
      model, tf.data.Dataset.from_tensor_slices((data,)).batch(8), 1
  )
  mean, variance = norms(model)[0].moving_mean, norms(model)[0].moving_variance
  np.testing.assert_allclose(mean, np.mean(data, axis=0), rtol=1e-5)
  np.testing.assert_allclose(variance, np.var(data, axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    "synchronized", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_model_of_two_replicas_gets_the_same_statistics(synchronized):
  expected = make_model()
  pgates.reestimate_batch_norm(expected, batches(), 3)
  strategy = tf.distribute.MirroredStrategy(
      ["CPU:0", "CPU:1"],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )
  with strategy.scope():
    model = make_model(synchronized=synchronized)
    for norm, other in zip(model.weights, expected.weights, strict=True):
      if "moving" not in norm.path:
        norm.assign(np.asarray(other))
  pgates.reestimate_batch_norm(model, batches(), 3)
  for value, other in zip(statistics(model), statistics(expected), strict=True):
    np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)
  for replica in strategy.experimental_local_results(
      norms(model)[0].moving_mean.value
  ):
    np.testing.assert_allclose(
        replica, norms(expected)[0].moving_mean, rtol=1e-4, atol=1e-5
    )
