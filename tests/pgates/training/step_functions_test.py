"""Tests of pgates/training/step_functions.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters

GENERATOR = np.random.default_rng(0)
# The last of three batches of 8 has 1 example: replicas are left empty.
IMAGES = GENERATOR.normal(size=(17, 6, 6, 2)).astype(np.float32)
LABELS = GENERATOR.integers(0, 3, 17)
WEIGHTS = GENERATOR.uniform(0.0, 3.0, 17).astype(np.float32)
WEIGHTS[[2, 5, 11]] = 0.0
BATCH_SIZE = 8
TOLERANCE = 2e-6  # Of weights after 6 steps; 1.2e-7 was measured.


def strategy_of(num_replicas):
  if num_replicas == 1:
    return tf.distribute.get_strategy()
  # Collectives of several such strategies in one process collide.
  return tf.distribute.MirroredStrategy(
      [f"CPU:{i}" for i in range(num_replicas)],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )


def conv_model(gate=None, regularizer=None, num_blocks=2):
  """A convolutional network; the same weights and noise at each call."""
  keras.utils.set_random_seed(3)
  inputs = keras.Input((6, 6, 2))
  x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
  x = pgates.BatchNormalization(synchronized=True)(x)
  decisions = []
  for index in range(num_blocks):
    branch = keras.Sequential(
        [
            keras.layers.Conv2D(
                4, 3, padding="same", kernel_regularizer=regularizer
            ),
            pgates.BatchNormalization(synchronized=True),
        ]
    )
    own = pgates.DataDependentGate(
        hidden_units=3, initial_probability=0.6, synchronized=True
    )
    own = own if gate is None else gate(index)
    x, *decision = pgates.GatedResidual(branch, gate=own)(x)
    decisions.append(decision)
  logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
  model = pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  )
  pgates.seed_gates(model, 11)
  return model


def trained(
    num_replicas,
    *,
    loss=None,
    weights=None,
    options=None,
    validate=False,
    **kwargs,
):
  with strategy_of(num_replicas).scope():
    model = conv_model(**kwargs)
    model.compile(
        pgates.CoupledSGD(0.05, momentum=0.9, coupled_weight_decay=1e-3),
        loss,
        rate_loss=pgates.TargetRateLoss(0.4, weight=2.0),
        metrics=["sparse_categorical_accuracy"],
        **(options or {}),
    )
  history = model.fit(
      IMAGES,
      LABELS,
      sample_weight=weights,
      batch_size=BATCH_SIZE,
      shuffle=False,
      epochs=2,
      verbose=0,
      validation_data=(IMAGES, LABELS) if validate else None,
  ).history
  return model, history


def assert_same_training(one, many):
  (one, one_history), (many, many_history) = one, many
  assert set(one_history) >= set(many_history) >= {"loss", "macs"}
  for name, values in many_history.items():
    np.testing.assert_allclose(
        values, one_history[name], rtol=1e-4, atol=1e-6, err_msg=name
    )
  for left, right in zip(one.weights, many.weights, strict=True):
    np.testing.assert_allclose(
        right.numpy(), left.numpy(), rtol=0, atol=TOLERANCE, err_msg=left.path
    )
  assert one.optimizer.iterations == many.optimizer.iterations == 6


@pytest.fixture(name="alone", scope="module")
def fixture_alone():
  return trained(1, validate=True)


@pytest.mark.slow
def test_two_replicas_train_evaluate_and_predict_as_one_device(alone):
  many = trained(2, validate=True)
  assert_same_training(alone, many)
  assert "val_loss" in many[1]
  assert 0.0 < many[1]["open_rate"][0] < 1.0
  outputs = [
      model.predict(IMAGES, batch_size=BATCH_SIZE, verbose=0)["logits"]
      for model in (alone[0], many[0])
  ]
  np.testing.assert_allclose(*outputs, atol=1e-4)


@pytest.mark.slow
def test_four_replicas_train_as_one_device(alone):
  assert_same_training(alone, trained(4))


@pytest.mark.parametrize(
    "reduction, steps",
    [
        ("mean_with_sample_weight", 1),
        pytest.param("sum", 2, marks=pytest.mark.slow),
    ],
)
def test_replicas_share_sample_weights_and_regularisers(reduction, steps):
  loss = keras.losses.SparseCategoricalCrossentropy(
      from_logits=True, reduction=reduction
  )
  kwargs = {
      "loss": loss,
      "weights": WEIGHTS * (0.1 if reduction == "sum" else 1.0),
      "regularizer": keras.regularizers.L2(0.05),
      "gate": lambda index: pgates.DataIndependentGate(initial_probability=0.6),
      "num_blocks": 1,
  }
  alone = trained(1, **kwargs)
  # Several steps in one execution, of which the second is incomplete.
  many = trained(2, options={"steps_per_execution": steps}, **kwargs)
  assert_same_training(alone, many)


@keras.saving.register_keras_serializable(package="step_functions_test")
class SignGate(pgates.Gate):
  """Open where an image's first pixel is positive, for certain."""

  def call(self, inputs):
    return 100.0 * tf.sign(inputs[:, 0, 0, 0])


@pytest.mark.parametrize(
    "num_replicas", [pytest.param(1, marks=pytest.mark.slow), 2]
)
def test_rate_is_that_of_the_global_batch(num_replicas):
  """One replica's gates are all open, the other's all closed: no penalty."""
  with strategy_of(num_replicas).scope():
    inputs = keras.Input((6, 6, 2))
    x, gate, logit = pgates.GatedResidual(
        keras.layers.Conv2D(2, 1), gate=SignGate()
    )(inputs)
    logits = keras.layers.Dense(3)(keras.layers.Flatten()(x))
    outputs = pgates.gated_outputs(logits, [gate], [logit])
    model = pgates.GatedModel(inputs, outputs)
    model.compile("sgd", rate_loss=pgates.TargetRateLoss(0.5))
  images = np.ones((8, 6, 6, 2), np.float32)
  images[4:] = -1.0
  history = model.fit(
      images, LABELS[:8], shuffle=False, batch_size=8, verbose=0
  ).history
  assert history["rate_loss"] == [0.0]  # The mean over replicas would be 0.25.
  assert history["open_rate"] == [0.5]
  branch = 36 * 4
  assert history["macs"] == [72 * 3 + branch / 2]


@pytest.mark.parametrize(
    "num_replicas", [1, pytest.param(2, marks=pytest.mark.slow)]
)
def test_gradient_of_the_rate_is_that_of_the_global_batch(num_replicas):
  def gate(index):
    del index
    # So hot that the slope of the relaxed gate is 1 / (4 T) everywhere.
    return pgates.DataIndependentGate(
        initial_probability=0.6, temperature=1000.0
    )

  target, weight = 0.1, 3.0
  with strategy_of(num_replicas).scope():
    model = conv_model(gate=gate)
    model.compile(
        keras.optimizers.SGD(1.0),
        rate_loss=pgates.TargetRateLoss(target, weight=weight),
    )
  logits = [block.gate.logit for block in pgates.gated_blocks(model)]
  before = [float(logit.numpy()) for logit in logits]
  # Without weight on the labels, and unevenly: 4 and 3 examples.
  history = model.fit(
      IMAGES[:7],
      LABELS[:7],
      sample_weight=np.zeros(7),
      batch_size=7,
      shuffle=False,
      verbose=0,
  ).history
  excess = history["open_rate"][0] - target
  assert excess > 0.1
  expected = 2 * weight * excess / 2 / (4 * 1000)
  for logit, start in zip(logits, before, strict=True):
    np.testing.assert_allclose(start - logit.numpy(), expected, rtol=1e-3)


def flat_model(**kwargs):
  inputs = keras.Input((4,))
  x, gate, logit = pgates.GatedResidual(
      keras.layers.Dense(4), gate=pgates.DataIndependentGate()
  )(inputs)
  logits = keras.layers.Dense(3)(x)
  model = pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, [gate], [logit])
  )
  model.compile(
      kwargs.pop("optimizer", "sgd"),
      rate_loss=pgates.TargetRateLoss(0.5, weight=kwargs.pop("weight", 1.0)),
      **kwargs,
  )
  return model


class CountDraws(keras.callbacks.Callback):
  """Of the gate's noise."""

  def on_train_begin(self, logs=None):
    (block,) = pgates.gated_blocks(self.model)
    self.state = block.gate.seed_generator.state
    self.draws = []

  def on_epoch_end(self, epoch, logs=None):
    self.draws.append(int(self.state[1]))


FLAT = GENERATOR.normal(size=(12, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "steps_per_execution", parameters.slow_but([3], [1, 3, 50])
)
def test_incomplete_execution_makes_no_step_without_data(steps_per_execution):
  model = flat_model(steps_per_execution=steps_per_execution)
  pgates.seed_gates(model, 0)
  count = CountDraws()
  options = {"batch_size": 3, "epochs": 2, "verbose": 0, "callbacks": [count]}
  model.fit(FLAT, LABELS[:12], **options)
  steps = np.diff([0, *count.draws])
  assert steps[0] == steps[1] > 0
  assert model.optimizer.iterations == 8


MODES = pytest.mark.parametrize(
    "options",
    [
        {},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"steps_per_execution": 3},
    ],
    ids=str,
)


@MODES
def test_nan_among_the_data_stops_training_at_its_step(options):
  images = FLAT.copy()
  images[9, 1] = np.nan  # In the third batch of four.
  model = flat_model(**options)
  with pytest.raises(FloatingPointError, match="task_loss is nan at step 3:"):
    model.fit(images, LABELS[:12], batch_size=4, shuffle=False, verbose=0)
  # Whoever wants to look at the data may evaluate.
  logs = model.evaluate(
      images, LABELS[:12], batch_size=4, verbose=0, return_dict=True
  )
  assert np.isnan(logs["loss"])


def test_nan_stops_train_on_batch():
  model = flat_model()
  with pytest.raises(FloatingPointError, match="task_loss is nan at step 1:"):
    model.train_on_batch(FLAT * np.nan, LABELS[:12])


def test_diverging_training_stops():
  model = flat_model(optimizer=keras.optimizers.SGD(1e30))
  with pytest.raises(FloatingPointError, match="is nan at step [23]:"):
    model.fit(FLAT, LABELS[:12], batch_size=4, verbose=0)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_rate_loss_that_is_not_finite_is_named(run_eagerly):
  model = flat_model(weight=float("inf"), run_eagerly=run_eagerly)
  with pytest.raises(FloatingPointError, match="rate_loss is inf at step 1:"):
    model.fit(FLAT, LABELS[:12], batch_size=4, verbose=0)


@pytest.mark.slow
def test_nan_on_one_replica_stops_all():
  with strategy_of(2).scope():
    model = conv_model(num_blocks=1)
    model.compile("sgd", rate_loss=pgates.TargetRateLoss(0.5))
  images = IMAGES.copy()
  images[7] = np.nan
  with pytest.raises(FloatingPointError, match="task_loss is nan at step 1:"):
    model.fit(images, LABELS, batch_size=8, shuffle=False, verbose=0)


def test_other_errors_pass_unchanged():
  model = flat_model()
  with pytest.raises(tf.errors.InvalidArgumentError, match="label value"):
    model.fit(FLAT, LABELS[:12] + 3, verbose=0)
