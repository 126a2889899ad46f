"""Tests of `trainers.training.batches`."""

import numpy as np
import pytest
import tensorflow as tf

import image_data
from tests.helpers import damaged_images
from tests.helpers import training_runs
from trainers.training import batches


@pytest.fixture(name="dataset", scope="module")
def _dataset(tmp_path_factory):
  return image_data.open_dataset(
      "digits", data_dir=tmp_path_factory.mktemp("d")
  )


def _take(found, num):
  images, labels = zip(*found.take(num), strict=True)
  return np.stack(images), np.stack(labels)


def _training(dataset, *arguments, **options):
  config = training_runs.config("--batch_size=32", *arguments)
  return batches.training_batches(config, dataset, **options)


def test_labels_are_classes_unless_the_loss_takes_probabilities(dataset):
  _, classes = _take(_training(dataset), 3)
  assert classes.shape == (3, 32)
  _, labels = _take(_training(dataset, "--label_smoothing=0.1"), 3)
  np.testing.assert_array_equal(labels, np.eye(10)[classes])


def test_mixup_blends_the_batches_of_the_plain_run(dataset):
  images, classes = _take(_training(dataset, "--seed=4"), 3)
  mixed, labels = _take(_training(dataset, "--seed=4", "--mixup=0.5"), 3)
  for step in range(3):
    seed = tf.random.fold_in(
        tf.constant([4, batches._MIXUP_STREAM], tf.int64),
        tf.constant(step, tf.int64),
    )
    expected = image_data.mixup(
        tf.constant(images[step]),
        tf.one_hot(classes[step], 10),
        seed,
        alpha=0.5,
    )
    np.testing.assert_allclose(mixed[step], expected[0], atol=1e-3)
    np.testing.assert_allclose(labels[step], expected[1], atol=1e-6)
  assert np.mean(np.max(labels, axis=-1) < 1) > 0.5


def test_mixed_batches_of_a_resumed_run_are_the_same(dataset):
  mixed, labels = _take(_training(dataset, "--mixup=0.5"), 5)
  rest, same = _take(_training(dataset, "--mixup=0.5", first_step=3), 2)
  np.testing.assert_array_equal(rest, mixed[3:])
  np.testing.assert_array_equal(same, labels[3:])


def test_validation_is_not_mixed(dataset):
  config = training_runs.config("--batch_size=32", "--mixup=0.5")
  images, labels = next(iter(batches.validation_batches(config, dataset)))
  plain, classes = next(
      iter(batches.evaluation_examples(config, dataset, "validation"))
  )
  np.testing.assert_array_equal(images, plain)
  np.testing.assert_array_equal(labels, np.eye(10)[classes])


def test_validation_images_of_which_none_can_be_read_are_an_error(tmp_path):
  damaged_images.store_folder(tmp_path)
  config = training_runs.config(
      f"--image_folder={tmp_path}", "--image_size=8", "--gate=none"
  )

  def check():
    folder = image_data.ImageFolder(tmp_path)
    batches.check_readable(batches.validation_batches(config, folder), folder)

  check()
  for path in tmp_path.glob("val/*/*.jpg"):
    path.write_bytes(b"not an image")
  with pytest.raises(ValueError, match="Not one of the validation images"):
    check()
