"""Tests of `image_data.pipeline`."""

import operator

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import datasets
from image_data import readers
from tests.helpers import numbered_images
from tests.helpers import shifts
from tests.helpers import triangles
from tests.helpers.numbered_images import NUM_TRAIN

NUM_STEPS = 6  # of 7 examples: 3 of the 45 are left out


@pytest.fixture(name="folder", scope="module")
def fixture_folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("stored")
  numbered_images.store(folder, name="numbered", shapes=[(16, 8, 1)] * 50)
  numbered_images.store(
      folder, name="variable", shapes=[(8, 9, 3), (12, 7, 3)] * 25
  )
  return folder


@pytest.fixture(name="numbered", scope="module")
def fixture_numbered(folder):
  return image_data.open_dataset("numbered", data_dir=folder)


@pytest.fixture(name="dataset", params=["in memory", "from files"])
def fixture_dataset(request, numbered, monkeypatch):
  if request.param == "from files":
    monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 0)
    monkeypatch.setattr(readers, "_SHUFFLE_WINDOW", 30)
  return numbered


# In memory at every change: reading from files is tested in epochs_test, too.
SELDOM_FROM_FILES = pytest.mark.parametrize(
    "dataset",
    ["in memory", pytest.param("from files", marks=pytest.mark.slow)],
    indirect=True,
)


@pytest.fixture(name="variable", scope="module")
def fixture_variable(folder):
  return image_data.open_dataset("variable", data_dir=folder)


def train_batches(
    dataset,
    *,
    image_size=None,
    augmentation="none",
    rand_augment=0.0,
    **kwargs,
):
  preparation = image_data.TrainingPreparation(
      image_size=image_size,
      augmentation=augmentation,
      rand_augment=rand_augment,
  )
  return image_data.train_batches(dataset, preparation=preparation, **kwargs)


def take(dataset, num_steps, *, batch_size=7, seed=1, **kwargs):
  """Returns images and labels of the first batches, concatenated."""
  batches = train_batches(dataset, batch_size=batch_size, seed=seed, **kwargs)
  images, labels = zip(*batches.take(num_steps), strict=True)
  return np.concatenate(images), np.concatenate(labels)


def epoch_labels(dataset, *, seed=1, batch_size=9, num_epochs=1):
  num_steps = num_epochs * NUM_TRAIN // batch_size
  _, labels = take(dataset, num_steps, seed=seed, batch_size=batch_size)
  return labels.reshape(num_epochs, NUM_TRAIN).tolist()


def train_labels(dataset):
  return [int(label) for _, label in dataset.examples("train")]


@SELDOM_FROM_FILES
def test_elements_are_float_images_and_integer_labels(dataset):
  batches = image_data.train_batches(dataset, batch_size=7, seed=1)
  images, labels = next(iter(batches))
  assert (images.shape, images.dtype) == ((7, 16, 8, 1), tf.float32)
  assert (labels.shape, labels.dtype) == ((7,), tf.int32)
  assert batches.element_spec[0].shape == (7, 16, 8, 1)
  originals = {int(y): x.numpy() for x, y in dataset.examples("train")}
  for image, label in zip(images.numpy(), labels.numpy(), strict=True):
    np.testing.assert_array_equal(image, originals[label])


@SELDOM_FROM_FILES
def test_incomplete_batch_is_dropped_and_the_next_epoch_begins(dataset):
  _, labels = take(dataset, 20 * NUM_STEPS)
  labels = labels.reshape(20, NUM_STEPS * 7)
  for epoch in labels:
    assert len(set(epoch)) == NUM_STEPS * 7
  # What is left out differs: after 20 epochs everything was seen (the chance
  # that some example was not is 45 * (3/45)^20, about 1e-22).
  assert set(labels.ravel()) == set(train_labels(dataset))


@SELDOM_FROM_FILES
def test_order_depends_on_the_seed_alone(dataset):
  tf.random.set_seed(1)
  first = epoch_labels(dataset, seed=1, num_epochs=2)
  tf.random.set_seed(2)
  assert epoch_labels(dataset, seed=1, num_epochs=2) == first
  assert epoch_labels(dataset, seed=1, num_epochs=2, batch_size=15) == first
  assert epoch_labels(dataset, seed=2, num_epochs=2)[0] != first[0]


@SELDOM_FROM_FILES
@pytest.mark.parametrize(
    "augmentation, first_step",
    [
        pytest.param("none", 1, marks=pytest.mark.slow),
        pytest.param("shift", NUM_STEPS, marks=pytest.mark.slow),
        ("shift_flip", 3 * NUM_STEPS + 5),
    ],
)
def test_resumed_sequence_is_the_uninterrupted_one(
    dataset, augmentation, first_step
):
  num_steps = 2 * NUM_STEPS
  images, labels = take(
      dataset, first_step + num_steps, augmentation=augmentation
  )
  resumed_images, resumed_labels = take(
      dataset, num_steps, augmentation=augmentation, first_step=first_step
  )
  np.testing.assert_array_equal(resumed_labels, labels[first_step * 7 :])
  np.testing.assert_array_equal(resumed_images, images[first_step * 7 :])


@pytest.mark.slow
def test_augmentation_differs_between_epochs_and_seeds(dataset):
  def places(**kwargs):
    originals, _ = take(dataset, NUM_STEPS, **kwargs)
    images, _ = take(dataset, NUM_STEPS, augmentation="shift", **kwargs)
    return [
        shifts.find_shift(image, original)
        for image, original in zip(images, originals, strict=True)
    ]

  first = places()
  assert places() == first
  for other in (places(first_step=NUM_STEPS), places(seed=2)):
    # One in fifteen of the 42 agrees by chance.
    assert sum(map(operator.eq, first, other)) < 15


@SELDOM_FROM_FILES
def test_eval_batches_hold_every_example_once_in_the_order_of_the_files(
    dataset,
):
  for split, sizes in (("test", [7, 7, 2]), ("validation", [5])):
    batches = image_data.eval_batches(dataset, split, batch_size=7)
    images, labels = zip(*batches, strict=True)
    assert [len(batch) for batch in labels] == sizes
    assert images[0].dtype == tf.float32 and labels[0].dtype == tf.int32
    expected = [(x, int(y)) for x, y in dataset.examples(split)]
    assert np.concatenate(labels).tolist() == [y for _, y in expected]
    np.testing.assert_array_equal(
        np.concatenate(images), [x for x, _ in expected]
    )


@SELDOM_FROM_FILES
def test_resizing_is_antialiased_and_bilinear(dataset):
  images, _ = take(dataset, 1, image_size=6)
  originals, _ = take(dataset, 1)
  assert images.shape == (7, 6, 6, 1)
  rows, columns = triangles.weights(16, 6), triangles.weights(8, 6)
  for image, original in zip(images, originals, strict=True):
    expected = rows @ original[..., 0] @ columns.T
    np.testing.assert_allclose(image[..., 0], expected, atol=1e-3)


@SELDOM_FROM_FILES
def test_augmentation_is_of_the_resized_image(dataset):
  originals, _ = take(dataset, 3, image_size=24)
  images, _ = take(dataset, 3, image_size=24, augmentation="shift")
  places = [
      shifts.find_shift(image, original)
      for image, original in zip(images, originals, strict=True)
  ]
  assert None not in places
  assert max(max(place) for place in places) > 4  # 3 pixels to a side, not 2


def test_images_of_different_shapes_need_an_image_size(variable):
  for read in (
      lambda **kwargs: train_batches(variable, seed=0, **kwargs),
      lambda **kwargs: image_data.eval_batches(variable, "test", **kwargs),
  ):
    with pytest.raises(ValueError, match=r"\(None, None, 3\).*image_size"):
      read(batch_size=5)
    images, _ = next(iter(read(batch_size=5, image_size=8)))
    assert images.shape == (5, 8, 8, 3)
    assert images.dtype == tf.float32


@pytest.mark.slow
def test_variable_images_are_augmented_after_resizing(variable):
  images, labels = take(variable, 9, image_size=8, augmentation="shift_flip")
  assert images.shape == (63, 8, 8, 3)
  assert len(set(labels[:42])) == 42


@SELDOM_FROM_FILES
def test_mirrored_strategy_sees_the_same_batches(dataset):
  strategy = tf.distribute.MirroredStrategy(
      [device.name for device in tf.config.list_logical_devices("CPU")]
  )

  def join(values):
    parts = strategy.experimental_local_results(values)
    return np.concatenate([part.numpy() for part in parts])

  for batches in (
      train_batches(dataset, batch_size=8, seed=1, augmentation="shift").take(
          12
      ),
      image_data.eval_batches(dataset, "test", batch_size=7),
  ):
    distributed = strategy.experimental_distribute_dataset(batches)
    for per_replica, expected in zip(distributed, batches, strict=True):
      np.testing.assert_array_equal(join(per_replica[0]), expected[0])
      np.testing.assert_array_equal(join(per_replica[1]), expected[1])


def test_steps_per_epoch_counts_full_batches(dataset):
  assert image_data.steps_per_epoch(dataset, batch_size=7) == 6
  assert image_data.steps_per_epoch(dataset, batch_size=45) == 1
  with pytest.raises(ValueError, match="batch_size=46.* 45 training examples"):
    image_data.steps_per_epoch(dataset, batch_size=46)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"batch_size": 0}, "batch_size .* at least 1; got 0"),
        ({"batch_size": 2.0}, r"batch_size .* at least 1; got 2\.0"),
        ({"batch_size": 46}, "at most 45"),
        ({"seed": None}, "seed .* integer; got None"),
        ({"first_step": -1}, "first_step .* at least 0; got -1"),
        ({"image_size": 0}, "image_size .* at least 1; got 0"),
    ],
)
def test_train_argument_out_of_range_is_refused(dataset, arguments, message):
  with pytest.raises(ValueError, match=message):
    train_batches(dataset, **({"batch_size": 7, "seed": 1} | arguments))


@pytest.mark.parametrize(
    "split, arguments, message",
    [
        ("valid", {}, "'valid'.*train, validation, test"),
        ("test", {"batch_size": -3}, "batch_size .* at least 1; got -3"),
        ("test", {"image_size": "8"}, "image_size .* at least 1; got '8'"),
    ],
)
def test_eval_argument_out_of_range_is_refused(
    dataset, split, arguments, message
):
  with pytest.raises(ValueError, match=message):
    image_data.eval_batches(dataset, split, **({"batch_size": 7} | arguments))


@SELDOM_FROM_FILES
def test_cropped_examples_are_parts_of_the_images(dataset):
  plain, labels = take(dataset, 6, image_size=6)
  images, same = take(dataset, 6, image_size=6, augmentation="crop_flip")
  np.testing.assert_array_equal(same, labels)
  assert images.shape == plain.shape and images.dtype == plain.dtype
  changed = [
      np.abs(a - b).max() > 1 for a, b in zip(images, plain, strict=True)
  ]
  assert sum(changed) > 35  # Of 42.
  # Resumed, the same parts.
  rest, _ = take(
      dataset, 4, image_size=6, augmentation="crop_flip", first_step=2
  )
  np.testing.assert_array_equal(rest, images[14:])


@pytest.mark.slow
def test_variable_images_are_cropped_from_their_files(variable):
  images, labels = take(variable, 9, image_size=8, augmentation="crop_flip")
  assert images.shape == (63, 8, 8, 3)
  assert len(set(labels[:42])) == 42


def test_crops_of_images_that_are_not_square_need_a_size(dataset):
  with pytest.raises(ValueError, match="16 x 8 pixels.*Pass image_size"):
    take(dataset, 1, augmentation="crop_flip")


def test_middle_of_variable_images_is_evaluated(variable):
  batches = image_data.eval_batches(
      variable, "test", batch_size=7, image_size=8
  )
  images = np.concatenate([images for images, _ in batches])
  expected = [
      image_data.center_crop(image, 8) for image, _ in variable.examples("test")
  ]
  np.testing.assert_allclose(images, expected, atol=1e-4)
