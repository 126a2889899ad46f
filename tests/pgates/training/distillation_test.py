"""Tests of pgates/training/distillation.py."""

import keras
import numpy as np
import pytest
from scipy import special
import tensorflow as tf

import pgates
from tests.helpers import parameters

pytestmark = pytest.mark.usefixtures("eagerly")

NUM_CLASSES = 4
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.normal(size=(12, 5)).astype(np.float32)
LABELS = GENERATOR.integers(0, NUM_CLASSES, 12)
WEIGHTS = GENERATOR.uniform(0.5, 3.0, 12).astype(np.float32)
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy


def student(seed=1, *, outputs=NUM_CLASSES):
  """Logits of one dense layer, behind a block that is always open."""
  keras.utils.set_random_seed(seed)
  inputs = keras.Input((5,))
  x, *decision = pgates.GatedResidual(keras.layers.Dense(5), gate=None)(inputs)
  logits = keras.layers.Dense(outputs, name="classifier")(x)
  return pgates.GatedModel(
      inputs, pgates.gated_outputs(logits, *([value] for value in decision))
  )


def teacher(outputs=NUM_CLASSES):
  keras.utils.set_random_seed(7)
  return keras.Sequential(
      [
          keras.Input((5,)),
          keras.layers.Dense(outputs, kernel_initializer="random_normal"),
          # Noise that inference does not have.
          keras.layers.Dropout(0.5),
      ]
  )


def compiled(distillation, *, loss=None, learning_rate=0.1):
  model = student()
  model.compile(
      keras.optimizers.SGD(learning_rate), loss, distillation=distillation
  )
  return model


def divergence(taught, logits, temperature):
  """By each example."""
  theirs = special.softmax(taught.astype(np.float64) / temperature, axis=-1)
  ours = special.log_softmax(logits.astype(np.float64) / temperature, axis=-1)
  return (special.xlogy(theirs, theirs) - theirs * ours).sum(-1)


@pytest.mark.parametrize(
    "reduction",
    parameters.slow_after(
        1, ["mean_with_sample_weight", "sum_over_batch_size", "sum"]
    ),
)
@pytest.mark.parametrize("weight, temperature", [(0.3, 4.0), (1.0, 0.5)])
def test_loss_is_hintons(weight, temperature, reduction):
  master = teacher()
  model = compiled(
      pgates.Distillation(master, weight=weight, temperature=temperature),
      loss=CROSS_ENTROPY(from_logits=True, reduction=reduction),
      learning_rate=0.0,
  )
  logits = model.predict(IMAGES, verbose=0)["logits"]
  taught = master.predict(IMAGES, verbose=0)
  logs = model.train_on_batch(
      IMAGES, LABELS, sample_weight=WEIGHTS, return_dict=True
  )
  own = -special.log_softmax(logits.astype(np.float64), axis=-1)
  own = own[np.arange(12), LABELS]
  theirs = temperature**2 * divergence(taught, logits, temperature)
  total = np.sum(WEIGHTS * ((1 - weight) * own + weight * theirs))
  count = {
      "sum": 1,
      "sum_over_batch_size": 12,
      "mean_with_sample_weight": WEIGHTS.sum(),
  }[reduction]
  np.testing.assert_allclose(logs["task_loss"], total / count, rtol=1e-5)


def test_gradient_is_the_difference_of_softened_predictions():
  master = teacher()
  model = compiled(pgates.Distillation(master, weight=0.8, temperature=3.0))
  bias = model.get_layer("classifier").bias
  logits = model.predict(IMAGES, verbose=0)["logits"]
  taught = master.predict(IMAGES, verbose=0)
  ours, theirs = (
      special.softmax(each / 3, axis=-1) for each in (logits, taught)
  )
  own = special.softmax(logits, axis=-1) - np.eye(NUM_CLASSES)[LABELS]
  expected = (0.2 * own + 0.8 * 3.0 * (ours - theirs)).mean(axis=0)
  before = bias.numpy()
  model.train_on_batch(IMAGES, LABELS)
  np.testing.assert_allclose(before - bias.numpy(), 0.1 * expected, atol=1e-6)


def test_a_teacher_of_no_weight_changes_nothing():
  models = [
      compiled(None),
      compiled(pgates.Distillation(teacher(), weight=0.0)),
  ]
  for model in models:
    model.fit(IMAGES, LABELS, epochs=3, shuffle=False, verbose=0)
  for plain, taught in zip(*(m.get_weights() for m in models), strict=True):
    np.testing.assert_array_equal(plain, taught)


def test_teacher_stays_as_it_is():
  master = teacher()
  before = master.get_weights()
  compiled(pgates.Distillation(master)).train_on_batch(IMAGES, LABELS)
  for old, new in zip(before, master.get_weights(), strict=True):
    np.testing.assert_array_equal(old, new)


def test_evaluation_asks_for_the_labels_alone():
  plain = compiled(None)
  taught = compiled(pgates.Distillation(teacher(), weight=1.0))
  expected = plain.evaluate(IMAGES, LABELS, return_dict=True, verbose=0)
  assert taught.evaluate(
      IMAGES, LABELS, return_dict=True, verbose=0
  ) == pytest.approx(expected)


def test_gated_networks_teach_with_their_logits():
  master = student(seed=2)
  model = compiled(pgates.Distillation(master, weight=1.0), learning_rate=0.0)
  logits = model.predict(IMAGES, verbose=0)["logits"]
  taught = master.predict(IMAGES, verbose=0)["logits"]
  logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
  expected = 16 * divergence(taught, logits, 4.0).mean()
  np.testing.assert_allclose(logs["task_loss"], expected, rtol=1e-5)


def test_replicas_are_taught_as_one():
  def weights(strategy):
    with strategy.scope():
      model = compiled(pgates.Distillation(teacher(), weight=0.7))
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS, WEIGHTS))
    # The last batch leaves a replica empty.
    model.fit(data.take(9).batch(4), epochs=2, verbose=0)
    return model.get_weights()

  mirrored = tf.distribute.MirroredStrategy(
      ["CPU:0", "CPU:1"],
      cross_device_ops=tf.distribute.ReductionToOneDevice(),
  )
  one = weights(tf.distribute.get_strategy())
  for ours, theirs in zip(one, weights(mirrored), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_file_of_a_student_leaves_its_teacher_out(tmp_path):
  model = compiled(pgates.Distillation(teacher()))
  model.fit(IMAGES, LABELS, verbose=0)
  model.save(tmp_path / "student.keras")
  loaded = keras.models.load_model(tmp_path / "student.keras")
  assert loaded.distillation is None
  assert len(loaded.variables) == len(compiled(None).variables)
  loaded.fit(IMAGES, LABELS, verbose=0)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weight_out_of_range_is_refused(weight):
  with pytest.raises(ValueError, match="`weight` must lie in"):
    pgates.Distillation(teacher(), weight=weight)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("inf"), float("nan")])
def test_temperature_that_is_not_positive_is_refused(temperature):
  with pytest.raises(ValueError, match="`temperature` must be a positive"):
    pgates.Distillation(teacher(), temperature=temperature)


def test_teacher_of_other_classes_is_refused():
  with pytest.raises(ValueError, match=r"\(None, 3\), and \(None, 4\)"):
    compiled(pgates.Distillation(teacher(outputs=3)))


def test_teacher_of_other_images_is_refused():
  other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(NUM_CLASSES)])
  with pytest.raises(ValueError, match=r"inputs \[\(None, 6\)\]"):
    compiled(pgates.Distillation(other))


def test_output_without_a_loss_is_not_taught():
  inputs = keras.Input((5,))
  x, *decision = pgates.GatedResidual(keras.layers.Dense(5), gate=None)(inputs)
  outputs = pgates.gated_outputs(
      keras.layers.Dense(NUM_CLASSES)(x), *([value] for value in decision)
  )
  outputs["side"] = keras.layers.Dense(NUM_CLASSES)(x)
  model = pgates.GatedModel(inputs, outputs)
  with pytest.raises(ValueError, match=r"losses of: \['side'\]"):
    model.compile(
        "sgd",
        {"side": CROSS_ENTROPY(from_logits=True)},
        distillation=pgates.Distillation(teacher()),
    )
