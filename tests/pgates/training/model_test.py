"""Tests of pgates/training/model.py; more: step_functions_test.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters
from tests.helpers import toys

NUM_CLASSES = 4
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(20, 6)).astype(np.float32)
LABELS = GENERATOR.integers(0, NUM_CLASSES, 20)
ONE_HOT = np.eye(NUM_CLASSES, dtype=np.float32)[LABELS]
WEIGHTS = GENERATOR.uniform(0.5, 3.0, 20).astype(np.float32)
WEIGHTS[::3] = 0.0
RATE_LOSS = pgates.TargetRateLoss(0.3, weight=2.0)
SPARSE = keras.losses.SparseCategoricalCrossentropy
CATEGORICAL = keras.losses.CategoricalCrossentropy


def gated_layers(x, *, num_blocks=3, gated=None, regularizer=None):
  """Outputs of blocks of different costs, and a classifier."""
  decisions = []
  for index in range(num_blocks):
    branch = keras.Sequential(
        [
            keras.layers.Dense(2 + index, kernel_regularizer=regularizer),
            pgates.BatchNormalization(),
            keras.layers.Dense(6),
        ]
    )
    gate = pgates.DataDependentGate(hidden_units=3, initial_probability=0.5)
    block = pgates.GatedResidual(
        branch,
        gate=gate if gated is None or index in gated else None,
        name=f"block{index}",
    )
    x, *decision = block(x)
    decisions.append(decision)
  classifier = keras.layers.Dense(
      NUM_CLASSES, dtype="float32", name="classifier"
  )
  logits = classifier(x)
  return pgates.gated_outputs(logits, *zip(*decisions, strict=True))


def small_model(**kwargs):
  keras.utils.set_random_seed(1)
  inputs = keras.Input((6,))
  model = pgates.GatedModel(inputs, gated_layers(inputs, **kwargs))
  # Gates start indifferent to their inputs; here they are not to be.
  for block in pgates.gated_blocks(model):
    if block.gate is not None:
      block.gate.logit.kernel.assign(3 * block.gate.logit.kernel / 0.0014)
  # No two logits alike where all features are zero.
  model.get_layer("classifier").bias.assign([0.0, 0.1, 0.2, 0.3])
  pgates.seed_gates(model, 5)
  return model


def compiled_model(*, loss=None, rate_loss=RATE_LOSS, num_blocks=3, **kwargs):
  model = small_model(num_blocks=num_blocks)
  optimizer = pgates.CoupledSGD(0.1, momentum=0.9)
  model.compile(optimizer, loss, rate_loss=rate_loss, **kwargs)
  return model


def training_outputs(model, images):
  """What the next training step computes with; leaves the model as it was."""
  before = model.get_weights()
  pgates.seed_gates(model, 5)
  outputs = model(images, training=True)
  outputs = {name: value.numpy() for name, value in outputs.items()}
  model.set_weights(before)
  pgates.seed_gates(model, 5)
  return outputs


def cross_entropy(logits, labels, smoothing=0.0):
  logits = logits.astype(np.float64)
  log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  if np.ndim(labels) < 2 or np.shape(labels)[-1] == 1:
    labels = np.eye(NUM_CLASSES)[np.reshape(labels, -1)]
  labels = labels * (1 - smoothing) + smoothing / NUM_CLASSES
  return -(labels * log_probabilities).sum(-1)


def expected_logs(outputs, labels, weights, *, reduction, smoothing=0.0):
  logits, gates = outputs["logits"], outputs["gates"]
  size = len(logits)
  used = np.ones(size) if weights is None else np.reshape(weights, -1)
  losses = used * cross_entropy(logits, labels, smoothing)
  task = (
      losses.sum()
      / {
          "sum": 1,
          "sum_over_batch_size": size,
          "mean_with_sample_weight": used.sum(),
      }[reduction]
  )
  open_rate = gates.astype(np.float64).mean()
  rate = 2.0 * (open_rate - 0.3) ** 2
  # As Keras's `metrics=["accuracy"]`, without the weights.
  correct = logits.argmax(-1) == LABELS[:size]
  # Per block, the gate's 6 * 3 + 3, and 6 to 2, 3 and 4 units and back.
  ran = gates.astype(np.float64) @ [24.0, 36.0, 48.0]
  return {
      "loss": task + rate,
      "task_loss": task,
      "rate_loss": rate,
      "accuracy": correct.mean(),
      "open_rate": open_rate,
      "macs": 6 * NUM_CLASSES + 3 * 21 + ran.mean(),
  }


def assert_logs(logs, expected):
  assert set(logs) == set(expected)
  for name, value in expected.items():
    np.testing.assert_allclose(logs[name], value, rtol=2e-5, err_msg=name)


REDUCTIONS = ("sum_over_batch_size", "sum", "mean_with_sample_weight")
LOSSES = [
    (None, 0.0, LABELS, "sum_over_batch_size"),
    *parameters.slow_after(
        1, [(SPARSE, 0.0, LABELS[:, None], each) for each in REDUCTIONS]
    ),
    *parameters.slow_after(
        0, [(CATEGORICAL, 0.0, ONE_HOT, each) for each in REDUCTIONS]
    ),
    pytest.param(
        CATEGORICAL, 0.2, ONE_HOT, REDUCTIONS[0], marks=pytest.mark.slow
    ),
    *((CATEGORICAL, 0.2, ONE_HOT, each) for each in REDUCTIONS[1:]),
]


@pytest.mark.parametrize("loss, smoothing, labels, reduction", LOSSES)
@pytest.mark.parametrize(
    "weighted", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_logs_of_a_step_follow_from_its_gates(
    loss, smoothing, labels, reduction, weighted
):
  weights = WEIGHTS if weighted else None
  if weighted and reduction == "sum":
    weights = weights[:, None]
  if loss is not None:
    options = {"label_smoothing": smoothing} if smoothing else {}
    loss = loss(from_logits=True, reduction=reduction, **options)
  model = compiled_model(loss=loss, run_eagerly=True)
  outputs = training_outputs(model, IMAGES)
  assert 0.1 < outputs["gates"].mean() < 0.9
  expected = expected_logs(
      outputs, labels, weights, reduction=reduction, smoothing=smoothing
  )
  logs = model.train_on_batch(IMAGES, labels, weights, return_dict=True)
  assert_logs(logs, expected)

  outputs = {name: value.numpy() for name, value in model(IMAGES).items()}
  expected = expected_logs(
      outputs, labels, weights, reduction=reduction, smoothing=smoothing
  )
  logs = model.test_on_batch(IMAGES, labels, weights, return_dict=True)
  assert_logs(logs, expected)


def test_logs_of_an_epoch_are_means_over_its_examples():
  model = compiled_model(run_eagerly=True)
  logs = model.evaluate(
      IMAGES, LABELS, sample_weight=WEIGHTS, batch_size=8, verbose=0
  )
  logs = dict(zip(model.metrics_names, logs, strict=True))
  parts, sizes = [], [8, 8, 4]
  for start, size in zip((0, 8, 16), sizes, strict=True):
    part = slice(start, start + size)
    outputs = model.predict(IMAGES[part], verbose=0)
    losses = WEIGHTS[part] * cross_entropy(outputs["logits"], LABELS[part])
    rate = 2.0 * (outputs["gates"].mean() - 0.3) ** 2
    parts.append([losses.mean(), rate])
  task, rate = np.average(parts, axis=0, weights=sizes)
  outputs = model.predict(IMAGES, verbose=0)
  expected = expected_logs(
      outputs, LABELS, WEIGHTS, reduction="sum_over_batch_size"
  )
  expected |= {"task_loss": task, "rate_loss": rate, "loss": task + rate}
  assert_logs(logs, expected)


@pytest.mark.parametrize(
    "weights", [pytest.param(None, marks=pytest.mark.slow), WEIGHTS]
)
def test_step_goes_down_the_gradient_of_task_and_rate(weights):
  model = small_model()
  model.compile(
      keras.optimizers.SGD(1.0), rate_loss=RATE_LOSS, run_eagerly=True
  )
  before = model.get_weights()
  pgates.seed_gates(model, 5)
  with tf.GradientTape() as tape:
    outputs = model(IMAGES, training=True)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        LABELS, outputs["logits"]
    )
    task = tf.reduce_mean(losses if weights is None else losses * weights)
    rate = 2.0 * tf.square(tf.reduce_mean(outputs["gates"]) - 0.3)
    loss = task + rate
  gradients = tape.gradient(loss, model.trainable_variables)
  model.set_weights(before)
  pgates.seed_gates(model, 5)
  starts = [variable.numpy() for variable in model.trainable_variables]
  model.train_on_batch(IMAGES, LABELS, weights)
  for variable, start, gradient in zip(
      model.trainable_variables, starts, gradients, strict=True
  ):
    np.testing.assert_allclose(
        start - variable.numpy(), gradient, atol=2e-6, rtol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "target", [0.0, pytest.param(1.0, marks=pytest.mark.slow)]
)
def test_rate_loss_alone_moves_the_gates_to_the_target(target):
  model = compiled_model(rate_loss=pgates.TargetRateLoss(target, weight=9.0))
  branches = [block.branch for block in pgates.gated_blocks(model)]
  before = [branch.layers[-1].kernel.numpy() for branch in branches]
  # Without weight on the labels, no gradient but the rate's.
  weights = np.zeros(20)
  fit = {"sample_weight": weights, "batch_size": 20, "epochs": 30, "verbose": 0}
  history = model.fit(IMAGES, LABELS, **fit).history
  assert 0.2 < history["open_rate"][0] < 0.8
  assert abs(history["open_rate"][-1] - target) < 0.1
  assert set(history["task_loss"]) == {0.0}
  np.testing.assert_array_equal(before[-1], branches[-1].layers[-1].kernel)


def test_weight_of_the_rate_loss_may_be_a_schedule(tmp_path):
  schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.0, 9.0])
  model = compiled_model(
      rate_loss=pgates.TargetRateLoss(0.0, weight=schedule), num_blocks=1
  )
  blocks = pgates.gated_blocks(model)
  variables = [v for block in blocks for v in block.gate.trainable_variables]

  def values():
    return [variable.numpy() for variable in variables]

  fit = {"sample_weight": np.zeros(20), "return_dict": True}
  first = values()
  for step, is_moved in enumerate([False, False, True]):
    logs = model.train_on_batch(IMAGES, LABELS, **fit)
    assert (logs["rate_loss"] > 0) == is_moved, step
    changed = [
        not np.array_equal(a, b) for a, b in zip(first, values(), strict=True)
    ]
    assert any(changed) == is_moved, step
  model.save(tmp_path / "model.keras")
  again = keras.saving.load_model(tmp_path / "model.keras")
  assert again.rate_loss.weight.get_config() == schedule.get_config()
  np.testing.assert_allclose(
      again.test_on_batch(IMAGES, LABELS, return_dict=True)["rate_loss"],
      model.test_on_batch(IMAGES, LABELS, return_dict=True)["rate_loss"],
      rtol=1e-5,
  )


def test_without_rate_loss_there_is_none():
  model = compiled_model(rate_loss=None, run_eagerly=True)
  logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
  assert logs["rate_loss"] == 0.0
  assert logs["loss"] == logs["task_loss"]


@pytest.mark.parametrize(
    "run_eagerly", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_regularisation_counts_once(run_eagerly):
  model = small_model(regularizer=keras.regularizers.L2(0.5))
  model.compile(keras.optimizers.SGD(0.0), run_eagerly=run_eagerly)
  outputs = training_outputs(model, IMAGES)
  penalty = sum(
      0.5 * np.square(block.branch.layers[0].kernel.numpy()).sum()
      for block in pgates.gated_blocks(model)
  )
  expected = cross_entropy(outputs["logits"], LABELS).mean() + penalty
  assert penalty > 1
  first = model.train_on_batch(IMAGES, LABELS, return_dict=True)
  np.testing.assert_allclose(first["task_loss"], expected, rtol=1e-5)
  for _ in range(2):
    evaluated = model.test_on_batch(IMAGES, LABELS, return_dict=True)
  outputs = model.predict(IMAGES, verbose=0)
  expected = cross_entropy(outputs["logits"], LABELS).mean() + penalty
  np.testing.assert_allclose(evaluated["task_loss"], expected, rtol=1e-5)


def fitted(data, options=None, **kwargs):
  model = compiled_model(**(options or {}))
  history = model.fit(
      data,
      epochs=2,
      shuffle=False,
      verbose=0,
      validation_data=(IMAGES, LABELS),
      **kwargs,
  ).history
  return history, model.get_weights(), int(model.optimizer.iterations)


def numpy_batches():
  """Batches of 7 + 7 + 6, again and again."""
  while True:
    for start in range(0, 20, 7):
      part = slice(start, start + 7)
      yield IMAGES[part], LABELS[part], WEIGHTS[part]


DATASET = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, WEIGHTS)).batch(7)


@pytest.fixture(name="reference", scope="module")
def fixture_reference():
  return fitted(DATASET)


@pytest.mark.slow
@pytest.mark.parametrize(
    "way",
    [
        "numpy",
        pytest.param("generator", marks=pytest.mark.slow),
        pytest.param("steps_per_execution", marks=pytest.mark.slow),
        pytest.param("run_eagerly", marks=pytest.mark.slow),
    ],
)
def test_every_way_to_fit_is_the_same_training(way, reference):
  if way == "numpy":
    model = compiled_model()
    history = model.fit(
        IMAGES,
        LABELS,
        sample_weight=WEIGHTS,
        batch_size=7,
        shuffle=False,
        epochs=2,
        verbose=0,
        validation_data=(IMAGES, LABELS),
        validation_batch_size=20,
    ).history
    result = history, model.get_weights(), int(model.optimizer.iterations)
  elif way == "generator":
    result = fitted(numpy_batches(), steps_per_epoch=3)
  elif way == "run_eagerly":
    result = fitted(DATASET, {"run_eagerly": True})
  else:
    result = fitted(DATASET, {"steps_per_execution": 2})
  history, weights, iterations = result
  assert iterations == reference[2] == 6
  assert set(history) == set(reference[0])
  for name, values in reference[0].items():
    np.testing.assert_allclose(history[name], values, rtol=1e-4, err_msg=name)
  for actual, expected in zip(weights, reference[1], strict=True):
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.slow
def test_compiled_by_xla_it_trains_evaluates_and_predicts():
  model = compiled_model(num_blocks=1, jit_compile=True)
  plain = compiled_model(num_blocks=1, run_eagerly=True)
  np.testing.assert_allclose(
      model.predict(IMAGES, verbose=0)["logits"],
      plain(IMAGES)["logits"],
      atol=1e-5,
  )
  assert_logs(
      model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True),
      plain.test_on_batch(IMAGES, LABELS, return_dict=True),
  )
  fit = {"epochs": 20, "batch_size": 10, "verbose": 0}
  history = model.fit(IMAGES, LABELS, **fit).history
  assert history["loss"][-1] < 0.7 * history["loss"][0]
  # XLA draws other numbers from the same seed.
  assert 0.0 < history["open_rate"][0] < 1.0


def test_predict_returns_every_output_without_noise():
  model = compiled_model(steps_per_execution=2)
  outputs = model.predict(IMAGES, batch_size=6, verbose=0)
  assert {name: value.shape for name, value in outputs.items()} == {
      "logits": (20, NUM_CLASSES),
      "gates": (20, 3),
      "gate_logits": (20, 3),
  }
  np.testing.assert_array_equal(outputs["gates"], outputs["gate_logits"] > 0)
  direct = model(IMAGES)
  for name, value in outputs.items():
    np.testing.assert_allclose(value, direct[name], atol=1e-5)


def test_further_metrics_see_labels_and_logits_and_some_the_weights():
  def top(name):
    return keras.metrics.SparseTopKCategoricalAccuracy(k=2, name=name)

  model = compiled_model(
      metrics=["sparse_categorical_accuracy", "accuracy", top("top2")],
      weighted_metrics=["accuracy", top("weighted_top2")],
      run_eagerly=True,
  )
  logs = model.evaluate(
      IMAGES, LABELS, sample_weight=WEIGHTS, verbose=0, return_dict=True
  )
  order = model.predict(IMAGES, verbose=0)["logits"].argsort(-1)
  hits = (order[:, -2:] == LABELS[:, None]).any(-1)
  correct = order[:, -1] == LABELS
  expected = {
      "top2": hits.mean(),
      "weighted_top2": np.average(hits, weights=WEIGHTS),
      "accuracy": correct.mean(),
      "sparse_categorical_accuracy": correct.mean(),
      "weighted_accuracy": np.average(correct, weights=WEIGHTS),
  }
  for name, value in expected.items():
    np.testing.assert_allclose(logs[name], value, rtol=1e-6, err_msg=name)
  assert logs["weighted_accuracy"] != logs["accuracy"]


def test_options_of_compile_that_would_do_nothing_are_refused():
  with pytest.raises(TypeError, match="loss_scale"):
    compiled_model(num_blocks=1, loss_scale=2.0)


@pytest.mark.parametrize("times", parameters.slow_after(0, [1]) + [2])
def test_lists_of_logs_are_in_the_order_of_their_names(times):
  model = compiled_model(metrics=["sparse_top_k_categorical_accuracy"])
  for _ in range(times - 1):
    model.compile("sgd", rate_loss=RATE_LOSS)
  names = model.metrics_names
  assert len(names) == 7 - (times - 1)
  logs = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
  values = model.evaluate(IMAGES, LABELS, verbose=0)
  assert dict(zip(names, values, strict=True)) == logs


def test_keras_file_restores_all_of_training(tmp_path):
  rate_loss = pgates.TargetRateLoss(
      [0.5, 0.25, 0.75], kind="per_layer", one_sided=True, share="macs"
  )
  loss = CATEGORICAL(from_logits=True, label_smoothing=0.1, reduction="sum")
  model = compiled_model(
      loss=loss,
      rate_loss=rate_loss,
      metrics=[keras.metrics.TopKCategoricalAccuracy(k=2, name="top2")],
      steps_per_execution=2,
      run_eagerly=True,
  )
  fit = {"shuffle": False, "batch_size": 10, "verbose": 0}
  model.fit(IMAGES, ONE_HOT, **fit)
  model.save(tmp_path / "model.keras")
  restored = keras.models.load_model(tmp_path / "model.keras")

  restored.run_eagerly = True
  assert isinstance(restored, pgates.GatedModel)
  assert restored.rate_loss.get_config() == rate_loss.get_config()
  assert restored.task_loss.get_config() == loss.get_config()
  assert restored.steps_per_execution == 2
  assert restored.metrics_names == model.metrics_names
  assert restored.optimizer.get_config() == model.optimizer.get_config()
  for ours, theirs in zip(
      model.optimizer.variables, restored.optimizer.variables, strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  assert restored.optimizer.iterations == 2

  histories = []
  for each in (model, restored):
    pgates.seed_gates(each, 7)
    histories.append(each.fit(IMAGES, ONE_HOT, **fit).history)
  assert histories[0] == histories[1]
  for ours, theirs in zip(
      model.get_weights(), restored.get_weights(), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)


def test_keras_file_of_a_model_that_is_not_compiled_is_not_either(tmp_path):
  model = small_model()
  model.save(tmp_path / "model.keras")
  restored = keras.models.load_model(tmp_path / "model.keras")
  assert not restored.compiled
  np.testing.assert_array_equal(
      restored(IMAGES)["logits"], model(IMAGES)["logits"]
  )


@pytest.fixture(
    name="policy",
    params=[
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
        "mixed_float16",
    ],
)
def fixture_policy(request):
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(request.param)
  yield request.param
  keras.config.set_dtype_policy(before)


@pytest.mark.slow
def test_mixed_precision_trains_and_reloads(policy, tmp_path):
  model = compiled_model(num_blocks=1)
  scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
  assert scaled == (policy == "mixed_float16")
  history = model.fit(
      IMAGES, LABELS, epochs=15, batch_size=10, verbose=0
  ).history
  assert all(np.isfinite(values).all() for values in history.values())
  assert history["loss"][-1] < 0.7 * history["loss"][0]
  assert {variable.dtype for variable in model.variables} >= {"float32"}
  assert all(v.dtype == "float32" for v in model.trainable_variables)
  outputs = model(IMAGES)
  assert {value.dtype for value in outputs.values()} == {tf.float32}

  model.save(tmp_path / "model.keras")
  restored = keras.models.load_model(tmp_path / "model.keras")
  restored.run_eagerly = True
  assert type(restored.optimizer) is type(model.optimizer)
  if scaled:
    assert isinstance(restored.optimizer.inner_optimizer, pgates.CoupledSGD)
    assert model.optimizer.dynamic_scale.numpy() > 1
  for each in (model, restored):
    pgates.seed_gates(each, 7)
  logs = [m.train_on_batch(IMAGES, LABELS) for m in (model, restored)]
  assert logs[0] == logs[1]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("policy")
def test_step_that_one_replica_cannot_make_is_made_by_none(lost):
  """Gradients beyond float16's largest number, of one replica alone."""
  weights = np.ones(4, np.float32)
  weights[2 * lost :][:2] = 1e4
  data = tf.data.Dataset.from_tensor_slices((IMAGES[:4], LABELS[:4], weights))
  with toys.two_replicas().scope():
    model = compiled_model(num_blocks=1)
  before = [np.asarray(v) for v in model.trainable_variables]
  scale = float(model.optimizer.initial_scale)
  model.fit(data.batch(4), verbose=0)
  for variable, value in zip(model.trainable_variables, before, strict=True):
    np.testing.assert_array_equal(variable, value)
  assert model.optimizer.dynamic_scale == scale / 2
  model.fit(data.map(lambda x, y, w: (x, y)).batch(4), verbose=0)
  assert model.optimizer.dynamic_scale == scale / 2
  assert all(
      np.isfinite(v).all() and np.any(v != value)
      for v, value in zip(model.trainable_variables, before, strict=True)
      if "hidden/bias" not in v.path
  )


def test_model_may_have_two_inputs():
  keras.utils.set_random_seed(0)
  first = keras.Input((6,), name="first")
  second = keras.Input((2, 2), name="second")
  flat = keras.layers.Dense(6)(keras.layers.Flatten()(second))
  outputs = gated_layers(keras.layers.Add()([first, flat]), num_blocks=1)
  model = pgates.GatedModel({"first": first, "second": second}, outputs)
  model.compile("sgd", rate_loss=RATE_LOSS, run_eagerly=True)
  data = {"first": IMAGES, "second": IMAGES[:, :4].reshape(-1, 2, 2)}
  before = model.get_layer("classifier").kernel.numpy()
  history = model.fit(data, LABELS, batch_size=8, verbose=0).history
  assert np.isfinite(history["loss"]).all()
  kernel = model.get_layer("classifier").kernel.numpy()
  assert np.abs(kernel - before).max() > 1e-4
  outputs = model.predict(data, batch_size=8, verbose=0)
  logs = model.evaluate(data, LABELS, verbose=0, return_dict=True)
  assert outputs["gates"].shape == (20, 1)
  np.testing.assert_allclose(logs["open_rate"], outputs["gates"].mean())
  assert model.macs.fixed == 4 * 6 + 6 * NUM_CLASSES


def test_nested_blocks_train_and_count():
  inputs = keras.Input((6,))
  nested = keras.Model(inputs, gated_layers(inputs))
  outer = nested(keras.layers.Identity()(inputs))
  model = pgates.GatedModel(inputs, outer)
  targets = pgates.TargetRateLoss([0.5, 0.5, 1], kind="per_layer")
  with pytest.raises(ValueError, match="these have a gate.*block2"):
    model.compile("sgd", rate_loss=targets)
  model.compile("sgd", rate_loss=RATE_LOSS, run_eagerly=True)
  logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
  assert model.macs.branches == (24, 36, 48)
  assert 24 + 63 <= logs["macs"] <= 24 + 63 + 108


def test_target_of_one_is_for_blocks_without_a_gate():
  rate_loss = pgates.TargetRateLoss([1, 0.5, 1.0], kind="per_layer")
  model = small_model(gated=(1,))
  model.compile("sgd", rate_loss=rate_loss, run_eagerly=True)
  logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
  rates = model.gate_open_rates.result().numpy()
  assert rates[0] == rates[2] == 1.0
  np.testing.assert_allclose(
      logs["rate_loss"], (rates[1] - 0.5) ** 2 / 3, rtol=1e-5
  )


def test_frozen_network_is_evaluated_in_fit_and_warned_of():
  model = toys.make_model([toys.independent(0.4)])
  model.trainable = False
  model.compile("adam")
  before = model.get_weights()
  with pytest.warns(UserWarning, match="not have any trainable weights"):
    history = model.fit(toys.examples(4), np.arange(4), verbose=0).history
  assert np.isfinite(history["loss"][0])
  for old, new in zip(before, model.get_weights(), strict=True):
    np.testing.assert_array_equal(old, new)
