"""What a Keras user gives is what is trained, saved and kept."""

import copy
import functools
import inspect
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters
from tests.helpers import toys

CLASSES = 5
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(0, 1, (6, 8, 8, 3)).astype(np.float32)
LABELS = GENERATOR.integers(0, CLASSES, 6)
ONE_HOT = np.eye(CLASSES, dtype=np.float32)[LABELS]
MULTI = GENERATOR.integers(0, 2, (6, CLASSES)).astype(np.float32)
POSITIVE = GENERATOR.uniform(0.1, 2, (6, CLASSES)).astype(np.float32)
WEIGHTS = np.array([0.5, 2.0, 0.0, 1.0, 3.0, 0.25], np.float32)
losses = keras.losses


def net(num_classes=CLASSES, **kwargs):
  keras.utils.set_random_seed(3)
  return pgates.CifarResNet(
      8,
      num_classes=num_classes,
      input_shape=(8, 8, 3),
      normalization=None,
      **kwargs,
  )


@pytest.fixture(name="network", scope="module")
def fixture_network():
  return net()


def small_net(steps=False, positive=False):
  """A network of one block; its logits may be of several steps, or positive."""
  keras.utils.set_random_seed(3)
  images = keras.Input((8, 8, 3))
  block = pgates.GatedResidual(
      keras.layers.Dense(12), gate=pgates.DataDependentGate(hidden_units=2)
  )
  x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(images))
  x, *decision = block(x)
  if steps:
    x = keras.layers.RepeatVector(4)(x)
  logits = keras.layers.Dense(CLASSES)(x)
  if positive:
    logits = keras.layers.Softmax()(logits)
  return pgates.GatedModel(
      images, pgates.gated_outputs(logits, *([value] for value in decision))
  )


@pytest.fixture(name="small_nets", scope="module")
def fixture_small_nets():
  return functools.cache(small_net)


def evaluated(model, labels, weights=None, **compiled):
  """What the model logs, and its outputs."""
  model.compile("sgd", run_eagerly=True, **compiled)
  logs = model.test_on_batch(IMAGES, labels, weights, return_dict=True)
  return logs, model(IMAGES)


# Every loss of Keras with other settings than its own, and labels that fit.
TABLE = {
    "BinaryCrossentropy": (
        {"from_logits": True, "label_smoothing": 0.1},
        MULTI,
    ),
    "BinaryFocalCrossentropy": (
        {"from_logits": True, "gamma": 1.0, "apply_class_balancing": True},
        MULTI,
    ),
    "CTC": ({}, LABELS[:, None] % (CLASSES - 1) + 1),
    "CategoricalCrossentropy": (
        {"from_logits": True, "label_smoothing": 0.2},
        ONE_HOT,
    ),
    "CategoricalFocalCrossentropy": (
        {"from_logits": True, "alpha": 0.5, "gamma": 1.0},
        ONE_HOT,
    ),
    "CategoricalGeneralizedCrossEntropy": ({"q": 0.3}, LABELS),
    "CategoricalHinge": ({}, ONE_HOT),
    "Circle": ({"gamma": 2.0, "margin": 0.1}, LABELS % 2),
    "CosineSimilarity": ({"axis": 1}, POSITIVE),
    "Dice": ({}, MULTI),
    "Hinge": ({}, 2 * MULTI - 1),
    "Huber": ({"delta": 0.2}, POSITIVE),
    "KLDivergence": ({}, POSITIVE),
    "LogCosh": ({}, POSITIVE),
    "MeanAbsoluteError": ({}, POSITIVE),
    "MeanAbsolutePercentageError": ({}, POSITIVE),
    "MeanSquaredError": ({}, POSITIVE),
    "MeanSquaredLogarithmicError": ({}, POSITIVE),
    "Poisson": ({}, POSITIVE),
    "SparseCategoricalCrossentropy": (
        {"from_logits": True, "ignore_class": int(LABELS[0])},
        LABELS,
    ),
    "SquaredHinge": ({}, 2 * MULTI - 1),
    "Tversky": ({"alpha": 0.7, "beta": 0.2}, MULTI),
}
OVER_BATCH = ("Circle", "Dice", "Tversky")
OF_STEPS = ("CTC",)
OF_POSITIVE = ("Poisson", "CategoricalGeneralizedCrossEntropy")


def all_losses():
  return {
      name
      for name, value in vars(losses).items()
      if inspect.isclass(value)
      and issubclass(value, losses.Loss)
      and value is not losses.Loss
  }


def test_table_holds_every_loss_of_keras():
  assert set(TABLE) == all_losses()


@pytest.mark.parametrize(
    "reduction",
    parameters.slow_but(
        ["sum", "mean_with_sample_weight"],
        ["sum_over_batch_size", "sum", "mean_with_sample_weight"],
    ),
)
@pytest.mark.parametrize(
    "weighted", [pytest.param(False, marks=pytest.mark.slow), True]
)
@pytest.mark.parametrize("name", sorted(TABLE))
def test_task_loss_is_what_the_loss_itself_says(
    name, weighted, reduction, small_nets
):
  options, labels = TABLE[name]
  loss = getattr(losses, name)(reduction=reduction, **options)
  weights = WEIGHTS if weighted else None
  model = small_nets(name in OF_STEPS, name in OF_POSITIVE)
  logs, outputs = evaluated(model, labels, weights, loss=loss)
  expected = loss(labels, outputs["logits"], sample_weight=weights)
  assert abs(expected) > 1e-3
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)


@pytest.mark.parametrize("name", parameters.slow_but(["Dice"], OVER_BATCH))
def test_losses_over_the_batch_are_refused_for_replicas(name):
  options, _ = TABLE[name]
  with toys.two_replicas().scope():
    model = net()
    with pytest.raises(ValueError, match=f"{name} computes one loss for its"):
      model.compile("sgd", getattr(losses, name)(**options))


@pytest.mark.slow
def test_other_losses_are_taken_for_replicas():
  with toys.two_replicas().scope():
    networks = {False: net(), True: small_net(steps=True)}
    for name in sorted(set(TABLE) - set(OVER_BATCH)):
      options, _ = TABLE[name]
      networks[name in OF_STEPS].compile(
          "sgd", getattr(losses, name)(**options)
      )


@pytest.mark.parametrize(
    "loss, labels",
    [
        (
            losses.SparseCategoricalCrossentropy(
                from_logits=True, ignore_class=2
            ),
            np.array([2, 1, 2, 3, 0]),
        ),
        pytest.param(
            losses.Huber(delta=0.2, reduction="mean_with_sample_weight"),
            GENERATOR.normal(size=(5, toys.CLASSES)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_replicas_train_the_same_loss(loss, labels):
  """The replicas hold 3 and 2 examples, of which other numbers are ignored."""
  with toys.two_replicas().scope():
    model = toys.make_model([toys.independent(0.4)], loss=loss)
  x, weights = toys.examples(5), WEIGHTS[1:]
  logs = model.evaluate(
      x, labels, sample_weight=weights, verbose=0, return_dict=True
  )
  logits = model.predict(x, verbose=0)["logits"]
  expected = loss(labels, logits, sample_weight=weights)
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)


class Scaled(losses.Loss):
  """A loss whose configuration lacks its parameter."""

  def __init__(self, factor, **kwargs):
    super().__init__(**kwargs)
    self.factor = factor

  def call(self, y_true, y_pred):
    return self.factor * keras.ops.mean(keras.ops.square(y_pred - y_true), -1)


class Doubled(losses.MeanSquaredError):
  """A loss that overrides `__call__`."""

  def __call__(self, y_true, y_pred, sample_weight=None):
    return 2 * super().__call__(y_true, y_pred, sample_weight)


@pytest.mark.parametrize("loss", [Scaled(7.0), Doubled()])
def test_losses_of_ones_own_are_not_made_anew(loss, network):
  logs, outputs = evaluated(network, POSITIVE, WEIGHTS, loss=loss)
  expected = loss(POSITIVE, outputs["logits"], sample_weight=WEIGHTS)
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)
  assert network.task_loss is loss
  fast = pgates.with_strategy(network, "map", execution="routed")
  assert fast.task_loss is loss


class InBatch(losses.Loss):
  """Contrasts each example with the batch's mean."""

  def call(self, y_true, y_pred):
    return keras.ops.mean(y_pred - keras.ops.mean(y_pred, axis=0), axis=-1) ** 2


@pytest.mark.parametrize(
    "loss", [pytest.param(Doubled(), marks=pytest.mark.slow), InBatch()]
)
def test_losses_that_cannot_be_split_are_refused_by_name(loss):
  with toys.two_replicas().scope():
    model = net()
    with pytest.raises(ValueError, match=f"{type(loss).__name__} computes one"):
      model.compile("sgd", loss)


def test_gradient_is_that_of_the_loss_given():
  model = net()
  loss = losses.Huber(delta=0.2)
  model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
  classifier = model.get_layer("classifier")
  before = model.get_weights()
  pgates.seed_gates(model, 1)
  with tf.GradientTape() as tape:
    logits = model(IMAGES, training=True)["logits"]
    value = loss(POSITIVE, logits)
  gradient = tape.gradient(value, classifier.kernel.value)
  model.set_weights(before)
  pgates.seed_gates(model, 1)
  start = classifier.kernel.numpy()
  model.train_on_batch(IMAGES, POSITIVE)
  np.testing.assert_allclose(
      start - classifier.kernel.numpy(), gradient, atol=1e-6
  )


# Frozen layers.


def freeze_gate(block):
  block.gate.trainable = False


def freeze_norm(block):
  block.gate.norm.trainable = False


def freeze_block(block):
  block.trainable = False


def freeze_branch_layer(block):
  block.branch.get_layer("conv1").trainable = False


def freeze_all_but_the_norm(block):
  block.gate.trainable = False
  block.gate.norm.trainable = True


def saved_and_loaded(model, tmp_path):
  model.save(tmp_path / "model.keras")
  return keras.models.load_model(tmp_path / "model.keras")


COPIES = {
    "saved": saved_and_loaded,
    "cloned": lambda model, _: keras.models.clone_model(model),
    "copied": lambda model, _: copy.deepcopy(model),
}


def trainable_places(model):
  """Which of a model's variables are trained."""
  trainable = {id(variable) for variable in model.trainable_variables}
  return [id(variable) in trainable for variable in model.variables]


FREEZES = [
    freeze_gate,
    freeze_norm,
    freeze_block,
    freeze_branch_layer,
    freeze_all_but_the_norm,
]


@pytest.mark.parametrize(
    "gate, freeze, way",
    parameters.slow_but(
        [
            ("dependent", freeze_branch_layer, "saved"),
            ("dependent", freeze_gate, "cloned"),
            ("dependent", freeze_all_but_the_norm, "copied"),
        ],
        itertools.product(
            ["dependent", "independent"], FREEZES, sorted(COPIES)
        ),
    ),
)
def test_frozen_layers_stay_frozen(gate, freeze, way, tmp_path):
  if gate == "independent" and "norm" in freeze.__name__:
    pytest.skip("It has no batch norm.")
  model = net(gate=gate)
  everything = trainable_places(model)
  for block in pgates.gated_blocks(model)[1:]:
    freeze(block)
  trained = trainable_places(model)
  assert 0 < sum(trained) < sum(everything)
  twin = COPIES[way](model, tmp_path)
  assert trainable_places(twin) == trained
  # What is frozen is also what training leaves alone.
  twin.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
  before = [variable.numpy() for variable in twin.variables]
  twin.train_on_batch(IMAGES, LABELS)
  moved = np.array(
      [np.any(v != b) for v, b in zip(twin.variables, before, strict=True)]
  )
  frozen = np.array(everything) & ~np.array(trained)
  assert not np.any(moved & frozen)
  assert np.mean(moved[trained]) > 0.5


@pytest.mark.parametrize("way", parameters.slow_but(["saved"], sorted(COPIES)))
def test_frozen_backbone_stays_frozen(way, tmp_path):
  inner = net()
  backbone = keras.Model(inner.input, inner.output, name="backbone")
  backbone.trainable = False
  inputs = keras.Input((8, 8, 3))
  outputs = backbone(inputs)
  head = keras.layers.Dense(CLASSES, name="head")(outputs["logits"])
  model = pgates.GatedModel(inputs, {**outputs, "logits": head})
  assert len(model.trainable_variables) == 2
  twin = COPIES[way](model, tmp_path)
  assert trainable_places(twin) == trainable_places(model)


class BoundedGate(pgates.Gate):
  """A gate of somebody else's with a layer that it builds itself."""

  def __init__(self, **kwargs):
    super().__init__(**kwargs)
    self.dense = keras.layers.Dense(1, dtype="float32")

  def build(self, input_shape):
    super().build(input_shape)
    self.dense.build((None, input_shape[-1]))

  def call(self, inputs):
    mean = tf.reduce_mean(inputs, axis=list(range(1, inputs.shape.rank - 1)))
    return tf.tanh(self.dense(mean))[:, 0]


def test_frozen_layers_of_other_gates_stay_frozen():
  gate = BoundedGate()
  gate.dense.trainable = False
  twin = BoundedGate.from_config(gate.get_config())
  assert twin.trainable and not twin.dense.trainable
  # A configuration without frozen layers is as before there were any.
  assert "frozen" not in BoundedGate().get_config()
  old = {**BoundedGate().get_config(), "trainable": False}
  assert not BoundedGate.from_config(old).dense.trainable


def test_unknown_frozen_layers_are_refused():
  config = {**pgates.DataDependentGate().get_config(), "frozen": ["hiden"]}
  with pytest.raises(ValueError, match=r"\['hidden', 'logit', 'norm'\].*hiden"):
    pgates.DataDependentGate.from_config(config)


@pytest.mark.filterwarnings("ignore:.*quantiz", "ignore:.*float32")
def test_quantized_network_can_be_loaded(tmp_path):
  model = net()
  before = model(IMAGES)
  model.quantize("int8")
  gate = pgates.gated_blocks(model)[0].gate
  assert gate.hidden.kernel.dtype == "float32"
  assert model.get_layer("classifier").kernel.dtype == "int8"
  outputs = model(IMAGES)
  twin = saved_and_loaded(model, tmp_path)
  for name, value in twin(IMAGES).items():
    np.testing.assert_array_equal(value, outputs[name])
  np.testing.assert_array_equal(outputs["gate_logits"], before["gate_logits"])


# Labels that are ignored, and accuracy.


@pytest.mark.parametrize("labels", [LABELS, LABELS[:, None]])
def test_ignored_class_counts_nowhere(labels, network):
  ignored = int(LABELS[0])
  loss = losses.SparseCategoricalCrossentropy(
      from_logits=True, ignore_class=ignored
  )
  logs, outputs = evaluated(
      network,
      labels,
      WEIGHTS,
      loss=loss,
      weighted_metrics=["accuracy"],
  )
  counts = LABELS != ignored
  assert 0 < counts.sum() < len(LABELS)
  hits = outputs["logits"].numpy().argmax(-1) == LABELS
  np.testing.assert_allclose(logs["accuracy"], hits[counts].mean(), rtol=1e-6)
  np.testing.assert_allclose(
      logs["weighted_accuracy"],
      np.average(hits[counts], weights=WEIGHTS[counts]),
      rtol=1e-6,
  )
  alone = losses.SparseCategoricalCrossentropy(from_logits=True)
  expected = alone(LABELS[counts], outputs["logits"].numpy()[counts])
  logs, _ = evaluated(network, labels, loss=loss)
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)


def test_one_logit_has_the_accuracy_of_its_sign():
  model = net(num_classes=1)
  labels = np.array([0, 1, 1, 0, 1, 0], np.float32)
  loss = losses.BinaryCrossentropy(from_logits=True)
  for shape in ((6,), (6, 1)):
    logs, outputs = evaluated(model, labels.reshape(shape), loss=loss)
    right = (outputs["logits"].numpy()[:, 0] > 0) == (labels > 0)
    np.testing.assert_allclose(logs["accuracy"], right.mean())
  # Logits of 0.2 are probabilities of 0.55.
  model.get_layer("classifier").kernel.assign(np.zeros((64, 1)))
  model.get_layer("classifier").bias.assign([0.2])
  logs, _ = evaluated(model, labels, loss=loss)
  assert logs["accuracy"] == 0.5
  logs, _ = evaluated(model, np.ones(6, np.float32), loss=loss)
  assert logs["accuracy"] == 1.0


@pytest.mark.parametrize("yes, no", [(1, 0), (1, -1)])
def test_labels_that_exclude_each_other_not_have_an_accuracy_each(
    yes, no, network
):
  loss = losses.BinaryCrossentropy(from_logits=True)
  if no == -1:
    loss = losses.Hinge()
  labels = np.where(MULTI > 0, yes, no).astype(np.float32)
  logs, outputs = evaluated(network, labels, loss=loss)
  right = (outputs["logits"].numpy() > 0) == (MULTI > 0)
  np.testing.assert_allclose(logs["accuracy"], right.mean(), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    parameters.slow_but(
        [
            *("BinaryCrossentropy", "CategoricalGeneralizedCrossEntropy"),
            *("Circle", "Huber", "KLDivergence", "SquaredHinge"),
        ],
        sorted(TABLE),
    ),
)
def test_losses_of_no_classes_have_no_accuracy(name, network):
  options, labels = TABLE[name]
  if name == "CTC":
    pytest.skip("It has other logits.")
  loss = getattr(losses, name)(**options)
  logs, _ = evaluated(network, labels, loss=loss)
  of_classes = any(word in name for word in ("entropy", "Entropy", "Hinge"))
  of_classes |= name == "KLDivergence"
  assert ("accuracy" in logs) == of_classes
  assert ("accuracy" in network.metrics_names) == of_classes
  assert set(logs) == set(network.metrics_names)
  if not of_classes:
    with pytest.raises(
        ValueError, match="no 'accuracy' of the output 'logits'"
    ):
      network.compile("sgd", loss, metrics=["accuracy"])


def test_soft_and_sparse_labels_have_the_accuracy_of_their_classes(network):
  soft = 0.7 * ONE_HOT + 0.3 / CLASSES
  loss = losses.CategoricalCrossentropy(from_logits=True)
  logs, outputs = evaluated(network, soft, loss=loss)
  hits = outputs["logits"].numpy().argmax(-1) == LABELS
  np.testing.assert_allclose(logs["accuracy"], hits.mean(), rtol=1e-6)
  for labels in (LABELS, LABELS[:, None].astype(np.float32)):
    logs, _ = evaluated(network, labels)
    np.testing.assert_allclose(logs["accuracy"], hits.mean(), rtol=1e-6)


# Channels first.


@pytest.fixture(name="channels_first")
def fixture_channels_first():
  before = keras.config.image_data_format()
  keras.config.set_image_data_format("channels_first")
  yield
  keras.config.set_image_data_format(before)


def test_networks_are_channels_last_whatever_the_default(
    network, channels_first
):
  del channels_first
  twin = net()
  twin.set_weights(network.get_weights())
  assert twin.macs == network.macs
  for name, value in twin(IMAGES).items():
    np.testing.assert_array_equal(value, network(IMAGES)[name])
  large = pgates.ResNet50(3, input_shape=(32, 32, 3))
  assert large.output["logits"].shape == (None, 3)
  assert large.get_layer("stem_pool").output.shape == (None, 8, 8, 64)


@pytest.mark.parametrize("nested", [False, True])
def test_layers_with_their_channels_first_are_refused(nested, channels_first):
  del channels_first
  layer = keras.layers.Conv2D(3, 3, padding="same", name="wrong")
  branch = keras.Sequential([keras.Sequential([layer])]) if nested else layer
  block = pgates.GatedResidual(branch, gate=pgates.DataDependentGate())
  with pytest.raises(ValueError, match="wrong.*data_format='channels_last'"):
    block(keras.Input((3, 8, 8)))


def test_models_with_channels_first_are_refused(channels_first):
  del channels_first
  inputs = keras.Input((3, 8, 8))
  x = keras.layers.Conv2D(3, 1, name="stem")(inputs)
  branch = keras.layers.Dense(8)
  x, gate, logit = pgates.GatedResidual(branch)(x)
  logits = keras.layers.Dense(2)(keras.layers.Flatten()(x))
  outputs = pgates.gated_outputs(logits, [gate], [logit])
  with pytest.raises(ValueError, match="stem.*data_format='channels_first'"):
    pgates.GatedModel(inputs, outputs)


# Classes, metrics and types of one's own.


class OwnModel(pgates.GatedModel):
  """A functional subclass with a constructor of its own."""

  def __init__(self, width):
    inputs = x = keras.Input((width,))
    x, *decision = toys.block(toys.independent(0.4))(x)
    logits = keras.layers.Dense(4)(x)
    super().__init__(
        inputs, pgates.gated_outputs(logits, *([v] for v in decision))
    )
    self.width = width


class OwnStep(pgates.GatedModel):
  """A functional subclass without one keeps its class."""

  def test_step(self, data):
    return {**super().test_step(data), "own": tf.constant(1.0)}


def test_subclass_with_a_constructor_becomes_a_plain_gated_model():
  model = OwnModel(toys.FEATURES)
  model.compile("sgd")
  x = toys.examples()
  for other in (
      pgates.with_strategy(model, "map"),
      pgates.with_strategy(model, "ensemble:2"),
      pgates.with_strategy(model, "prune:0.5", validation_data=toys.batches()),
      pgates.prune(model, [], always_open=[0]),
  ):
    assert type(other) is pgates.GatedModel
    assert other.layers[-1] is not None
    # Open under each strategy, but for samples.
    if "ensemble" not in [layer.name for layer in other.layers]:
      np.testing.assert_allclose(
          other(x)["logits"], model(x)["logits"], atol=1e-6
      )
  by_threshold = pgates.with_threshold_input(model)
  assert type(by_threshold) is pgates.GatedModel
  assert pgates.gated_blocks(by_threshold) == pgates.gated_blocks(model)


def test_subclass_without_a_constructor_is_kept():
  gates = [toys.independent(0.4)]
  model = toys.make_model(gates, cls=OwnStep, loss=None)
  fast = pgates.with_strategy(model, "map", execution="routed")
  assert type(fast) is OwnStep
  logs = fast.evaluate(toys.batches(), verbose=0, return_dict=True)
  assert logs["own"] == 1.0


class Unregistered(keras.metrics.Metric):
  """Has a parameter that its configuration lacks, parts, and a state."""

  def __init__(self, factor, **kwargs):
    super().__init__(**kwargs)
    self.factor = factor
    self.count = self.add_variable((), "zeros", name="count")
    self.parts = {"mean": keras.metrics.Mean(), "same": self.count}
    self.batches = []

  def update_state(self, y_true, y_pred, sample_weight=None):
    del y_true, sample_weight
    self.count.assign_add(float(self.factor))
    self.parts["mean"].update_state(y_pred)

  def reset_state(self):
    super().reset_state()
    self.parts["mean"].reset_state()

  def result(self):
    return self.parts["same"] + 0 * self.parts["mean"].result()


def test_metric_that_keras_cannot_make_anew_is_copied_with_its_settings():
  metric = Unregistered(7.0, name="own")
  model = toys.mixed_model(metrics=[metric, "mse"], run_eagerly=True)
  fast = pgates.with_strategy(model, "map")
  model.evaluate(toys.batches(9, 4), verbose=0)
  assert float(metric.result()) == 3 * 7.0
  logs = fast.evaluate(toys.batches(4, 4), verbose=0, return_dict=True)
  assert logs["own"] == 7.0
  assert "mse" in logs
  # The other model's state is its own.
  assert float(metric.result()) == 3 * 7.0
  mean = metric.parts["mean"].result()
  fast.reset_metrics()
  assert float(metric.parts["mean"].result()) == float(mean)


@pytest.fixture(name="float64")
def fixture_float64():
  before = keras.config.floatx(), keras.config.dtype_policy()
  keras.config.set_floatx("float64")
  keras.config.set_dtype_policy("float64")
  yield
  keras.config.set_floatx(before[0])
  keras.config.set_dtype_policy(before[1])


@pytest.mark.parametrize(
    "run_eagerly", [pytest.param(False, marks=pytest.mark.slow), True]
)
def test_float64_trains_and_evaluates(float64, run_eagerly):
  del float64
  model = net()
  model.compile(
      pgates.CoupledSGD(0.1, coupled_weight_decay=1e-4),
      rate_loss=pgates.TargetRateLoss(0.5),
      run_eagerly=run_eagerly,
  )
  history = model.fit(IMAGES, LABELS, epochs=2, verbose=0).history
  assert np.isfinite(history["loss"]).all()
  logs = model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
  outputs = model.predict(IMAGES, verbose=0)
  assert model.get_layer("classifier").kernel.dtype == "float32"
  assert pgates.gated_blocks(model)[0].branch.layers[0].kernel.dtype == (
      "float64"
  )
  log_probabilities = toys.log_softmax(outputs["logits"])
  expected = -log_probabilities[np.arange(6), LABELS].mean()
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-6)


# Inputs, labels and outputs.


def two_inputs(structure):
  keras.utils.set_random_seed(0)
  first = keras.Input((toys.FEATURES,), name="first")
  second = keras.Input((toys.FEATURES,), name="second")
  x = keras.layers.Subtract()([first, second])
  decisions = []
  for index in range(2):
    x, *decision = toys.block(toys.dependent(index), index)(x)
    decisions.append(decision)
  logits = keras.layers.Dense(toys.CLASSES)(x)
  outputs = pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  inputs = [first, second]
  if structure is dict:
    inputs = {"second": second, "first": first}
  model = pgates.GatedModel(inputs, outputs)
  model.compile("sgd")
  x = [toys.examples(seed=i) for i in range(2)]
  data = {"first": x[0], "second": x[1]} if structure is dict else tuple(x)
  return model, data


@pytest.mark.parametrize(
    "structure", [dict, pytest.param(list, marks=pytest.mark.slow)]
)
def test_any_number_of_inputs_has_every_strategy(structure):
  model, data = two_inputs(structure)
  named = data if structure is dict else {"first": data[0], "second": data[1]}
  labels = np.arange(9) % toys.CLASSES
  dataset = tf.data.Dataset.from_tensor_slices((data, labels)).batch(4)
  feed = data if structure is dict else list(data)

  threshold = pgates.budget_threshold(model, 0.7, dataset)
  ruled = pgates.with_strategy(model, f"threshold:{threshold}")
  budget = pgates.with_strategy(model, "budget:0.7", validation_data=dataset)
  expected = ruled.predict(feed, verbose=0)
  toys.assert_outputs(budget.predict(feed, verbose=0), expected)
  assert model.macs.executed(expected["gates"]).numpy().mean() <= (
      0.7 * model.macs.dense
  )

  by_threshold = pgates.with_threshold_input(model)
  given = {**named, "threshold": np.full(9, threshold, np.float32)}
  toys.assert_outputs(by_threshold.predict(given, verbose=0), expected)
  curve = pgates.threshold_curve(model, dataset, thresholds=[0.0, 1.0])
  assert [point["macs"] for point in curve] == [
      model.macs.dense,
      model.macs.always,
  ]
  ensemble = pgates.with_strategy(model, "ensemble:3")
  assert ensemble.predict(feed, verbose=0)["gates"].shape == (9, 6)
  for name in ("prune:0.5", "top_k:1"):
    pruned = pgates.with_strategy(model, name, validation_data=dataset)
    assert pruned.predict(feed, verbose=0)["gates"].shape == (9, 2)


def test_input_of_the_name_threshold_is_refused():
  images = keras.Input((toys.FEATURES,), name="images")
  threshold = keras.Input((toys.FEATURES,), name="threshold")
  x, *decision = toys.block(toys.independent(0.1))(images - threshold)
  outputs = pgates.gated_outputs(x, *([value] for value in decision))
  model = pgates.GatedModel({"images": images, "threshold": threshold}, outputs)
  with pytest.raises(ValueError, match="has an input 'threshold' already"):
    pgates.with_threshold_input(model)


def with_auxiliary():
  """A network with a second classifier, and one that has no loss."""
  model = net()
  features = model.get_layer("stem_relu").output
  pooled = keras.layers.GlobalAveragePooling2D(data_format="channels_last")(
      features
  )
  auxiliary = keras.layers.Dense(3, name="auxiliary")(pooled)
  return pgates.GatedModel(
      model.input, {**model.output, "auxiliary": auxiliary, "pooled": pooled}
  )


def test_labels_come_by_the_names_of_outputs(network):
  logs, _ = evaluated(network, LABELS)
  named, _ = evaluated(network, {"logits": LABELS, "unused": MULTI})
  assert named == logs


def test_auxiliary_outputs_have_losses_and_metrics_of_their_own():
  model = with_auxiliary()
  targets = GENERATOR.normal(size=(6, 3)).astype(np.float32)
  given = {
      "logits": losses.SparseCategoricalCrossentropy(from_logits=True),
      "auxiliary": losses.Huber(delta=0.3),
  }
  labels = {"logits": LABELS, "auxiliary": targets}
  compiled = {
      "loss": given,
      "loss_weights": {"auxiliary": 0.25},
      "metrics": {"auxiliary": ["mae"], "logits": ["accuracy"]},
  }
  weights = {"auxiliary": WEIGHTS}
  for weights in (None, WEIGHTS, {"auxiliary": WEIGHTS}):
    logs, outputs = evaluated(model, labels, weights, **compiled)
    by_name = weights
    if not isinstance(weights, dict):
      by_name = {"logits": weights, "auxiliary": weights}
    expected = {
        name: float(loss(labels[name], outputs[name], by_name.get(name)))
        for name, loss in given.items()
    }
    np.testing.assert_allclose(
        logs["task_loss"],
        expected["logits"] + 0.25 * expected["auxiliary"],
        rtol=1e-5,
    )
    for name, value in expected.items():
      np.testing.assert_allclose(logs[f"{name}_loss"], value, rtol=1e-5)
    np.testing.assert_allclose(
        logs["auxiliary_mae"],
        np.abs(targets - outputs["auxiliary"]).mean(),
        rtol=1e-5,
    )
  # The auxiliary classifier is trained, and everything survives a strategy.
  before = model.get_layer("auxiliary").kernel.numpy()
  model.train_on_batch(IMAGES, labels)
  assert np.any(model.get_layer("auxiliary").kernel.numpy() != before)
  routed = pgates.with_strategy(model, "map", execution="routed")
  logs = model.test_on_batch(IMAGES, labels, return_dict=True)
  same = routed.test_on_batch(IMAGES, labels, return_dict=True)
  assert set(same) == set(logs)
  np.testing.assert_allclose(
      same["auxiliary_loss"], logs["auxiliary_loss"], rtol=1e-5
  )
  ensemble = pgates.with_strategy(model, "ensemble:2")
  logs = ensemble.test_on_batch(IMAGES, labels, return_dict=True)
  np.testing.assert_allclose(
      logs["auxiliary_loss"], same["auxiliary_loss"], rtol=1e-5
  )


def test_auxiliary_losses_survive_a_keras_file(tmp_path):
  model = with_auxiliary()
  labels = {"logits": LABELS, "auxiliary": MULTI[:, :3]}
  model.compile(
      "sgd",
      {
          "logits": losses.SparseCategoricalCrossentropy(from_logits=True),
          "auxiliary": losses.BinaryCrossentropy(from_logits=True),
      },
      loss_weights={"auxiliary": 0.25},
      metrics={
          "auxiliary": ["accuracy"],
          "logits": [keras.metrics.SparseTopKCategoricalAccuracy(2, "top2")],
      },
      weighted_metrics=["accuracy"],
      run_eagerly=True,
  )
  model.fit(IMAGES, labels, verbose=0)
  twin = saved_and_loaded(model, tmp_path)
  twin.run_eagerly = True
  expected = model.evaluate(IMAGES, labels, verbose=0, return_dict=True)
  assert twin.evaluate(IMAGES, labels, verbose=0, return_dict=True) == expected
  assert {"auxiliary_accuracy", "top2", "weighted_accuracy"} <= set(expected)


@pytest.mark.parametrize(
    "labels, message",
    [
        (None, "The labels are missing.*'logits'"),
        ({"logit": LABELS}, r"no labels for the outputs \['logits'\].*'logit'"),
        ([LABELS, LABELS], "labels as a dictionary by the names of outputs"),
    ],
)
def test_labels_that_are_missing_are_missed_in_plain_words(
    labels, message, network
):
  network.compile("sgd", run_eagerly=True)
  data = (IMAGES,) if labels is None else (IMAGES, labels)
  for step in (network.train_step, network.test_step):
    with pytest.raises(ValueError, match=message):
      step(data)


def test_several_losses_want_labels_by_name():
  model = with_auxiliary()
  model.compile(
      "sgd",
      {"logits": losses.Huber(), "auxiliary": losses.Huber()},
      run_eagerly=True,
  )
  with pytest.raises(ValueError, match="dictionary by the names of outputs"):
    model.test_step((IMAGES, POSITIVE))


def segmentation(num_classes=CLASSES):
  """Logits [batch, height, width, classes]."""
  keras.utils.set_random_seed(0)
  inputs = keras.Input((8, 8, 3))
  branch = keras.layers.Conv2D(3, 3, padding="same")
  block = pgates.GatedResidual(
      branch, gate=pgates.DataDependentGate(hidden_units=2)
  )
  x, *decision = block(inputs)
  logits = keras.layers.Conv2D(num_classes, 1)(x)
  return pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, *([v] for v in decision))
  )


@pytest.mark.parametrize(
    "weights",
    [
        pytest.param(None, marks=pytest.mark.slow),
        pytest.param(WEIGHTS, marks=pytest.mark.slow),
        "by_pixel",
    ],
)
@pytest.mark.parametrize("sparse", [True, False])
def test_logits_of_pixels_have_the_mean_loss_of_pixels(weights, sparse):
  model = segmentation()
  classes = GENERATOR.integers(0, CLASSES, (6, 8, 8))
  labels = classes if sparse else np.eye(CLASSES)[classes]
  if isinstance(weights, str):
    weights = GENERATOR.uniform(0, 2, (6, 8, 8)).astype(np.float32)
  loss = losses.CategoricalCrossentropy(from_logits=True)
  if sparse:
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
  logs, outputs = evaluated(
      model, labels, weights, loss=loss, weighted_metrics=["accuracy"]
  )
  values = -np.take_along_axis(
      toys.log_softmax(outputs["logits"]), classes[..., None], -1
  )[..., 0]
  hits = outputs["logits"].numpy().argmax(-1) == classes
  used = np.ones((6, 8, 8)) if weights is None else weights
  used = used.reshape(*used.shape, *[1] * (3 - used.ndim))
  used = np.broadcast_to(used, (6, 8, 8))
  np.testing.assert_allclose(
      logs["task_loss"], (values * used).mean(), rtol=1e-5
  )
  np.testing.assert_allclose(logs["accuracy"], hits.mean(), rtol=1e-5)
  np.testing.assert_allclose(
      logs["weighted_accuracy"], np.average(hits, weights=used), rtol=1e-5
  )
  history = model.fit(IMAGES, labels, sample_weight=weights, verbose=0).history
  assert np.isfinite(history["loss"]).all()


# Blocks that are called several times.


def shared_model(times=3):
  shared = toys.block(toys.dependent(0), 0)
  other = toys.block(toys.independent(0.4), 1)
  inputs = x = keras.Input((toys.FEATURES,))
  decisions = []
  for layer in [shared] * times + [other]:
    x, *decision = layer(x)
    decisions.append(decision)
  logits = keras.layers.Dense(toys.CLASSES)(x)
  model = pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  )
  model.compile("sgd")
  return model


def test_shared_block_goes_only_as_a_whole():
  model = shared_model()
  with pytest.raises(ValueError, match=r"called 3 times.*\[0, 1, 2\].*\[1\]"):
    pgates.prune(model, [1])
  with pytest.raises(ValueError, match="called 3 times"):
    pgates.prune(model, [0, 1], always_open=[2])
  x = toys.examples()
  pruned = pgates.prune(model, [0, 1, 2], always_open=[3])
  np.testing.assert_array_equal(pruned(x)["gates"], [[0, 0, 0, 1]] * 9)
  assert len(pgates.gated_blocks(pruned)) == 2
  kept = pgates.prune(model, [3], always_open=[0, 1, 2])
  np.testing.assert_array_equal(kept(x)["gates"], [[1, 1, 1, 0]] * 9)


@pytest.mark.parametrize(
    "strategy, more, expected",
    parameters.slow_but(
        [("prune", 0.01, [0, 0, 0, 1])],
        [
            ("prune", 0.01, [0, 0, 0, 1]),
            ("prune", -0.01, [1, 1, 1, 1]),
            ("top_k:1", 0, [0, 0, 0, 1]),
            ("top_k:2", 0, [1, 1, 1, 1]),
        ],
    ),
)
def test_strategies_that_prune_take_a_shared_block_as_one(
    strategy, more, expected
):
  model, data = shared_model(), toys.batches()
  rates, _ = pgates.measure_gates(model, data)
  shared = rates[:3].mean()
  assert 0.1 < shared < 1 == rates[3]
  if strategy == "prune":
    strategy = f"prune:{shared + more}"
  model_now = pgates.with_strategy(model, strategy, validation_data=data)
  np.testing.assert_array_equal(
      model_now(toys.examples())["gates"], [expected] * 9
  )


def test_shared_block_counts_once_among_the_blocks_to_keep():
  model, data = shared_model(), toys.batches()
  with pytest.raises(ValueError, match="more than the model's 2 blocks"):
    pgates.with_strategy(model, "top_k:3", validation_data=data)


# Masks.


@pytest.mark.slow
def test_masked_logits_count_as_keras_counts_them():
  """Masks that layers give their outputs, on one replica and on two."""

  def make_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 6))
    block = pgates.GatedResidual(
        keras.layers.Dense(6, use_bias=False),
        gate=pgates.DataDependentGate(hidden_units=2),
        activation=None,
    )
    x, *decision = block(inputs)
    # Where all features are 0.
    logits = keras.layers.Dense(CLASSES)(keras.layers.Masking()(x))
    return pgates.GatedModel(
        inputs, pgates.gated_outputs(logits, *([v] for v in decision))
    )

  x = GENERATOR.normal(size=(5, 4, 6)).astype(np.float32)
  x[[0, 0, 1, 4], [0, 1, 2, 3]] = 0.0
  y = GENERATOR.integers(0, CLASSES, (5, 4))
  loss = losses.SparseCategoricalCrossentropy(from_logits=True)
  model = make_model()
  model.compile("sgd", loss)
  logs = model.test_on_batch(x, y, return_dict=True)
  values = -np.take_along_axis(
      toys.log_softmax(model(x)["logits"]), y[..., None], -1
  )[..., 0]
  expected = values[np.any(x != 0, axis=-1)].mean()
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)
  with toys.two_replicas().scope():
    twin = make_model()
    twin.compile("sgd", loss)
  data = tf.data.Dataset.from_tensor_slices((x, y)).batch(5)
  logs = twin.evaluate(data, verbose=0, return_dict=True)
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)
