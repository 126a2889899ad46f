"""Tests of `image_data.data_service`."""

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import data_service
from image_data import datasets
from tests.helpers import damaged_images
from tests.helpers import numbered_images

NUM_STEPS = 6  # of 7 examples: 3 of the 45 are left out


@pytest.fixture(name="dataset")
def fixture_dataset(tmp_path, monkeypatch):
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 0)
  numbered_images.store(tmp_path, name="numbered", shapes=[(16, 8, 1)] * 50)
  return image_data.open_dataset("numbered", data_dir=tmp_path)


def take(dataset, num_steps, *, batch_size=7, seed=1, **kwargs):
  """Returns images and labels of the first batches, concatenated."""
  batches = image_data.train_batches(
      dataset, batch_size=batch_size, seed=seed, **kwargs
  )
  images, labels = zip(*batches.take(num_steps), strict=True)
  return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(name="service")
def fixture_service():
  """Starts a `tf.data` service with so many workers; returns its address."""
  service = tf.data.experimental.service
  started = []

  def start(num_workers):
    dispatcher = service.DispatchServer()
    address = dispatcher.target.partition("://")[2]
    config = service.WorkerConfig(dispatcher_address=address)
    workers = [service.WorkerServer(config) for _ in range(num_workers)]
    started.extend([dispatcher, *workers])
    return dispatcher.target

  yield start
  for server in reversed(started):
    server._stop()


def test_one_worker_of_a_service_makes_the_same_batches(dataset, service):
  preparation = image_data.TrainingPreparation(augmentation="shift")
  arguments = {"preparation": preparation, "first_step": 4}
  images, labels = take(dataset, 3 * NUM_STEPS, **arguments)
  served, same = take(
      dataset, 3 * NUM_STEPS, data_service=service(1), **arguments
  )
  np.testing.assert_array_equal(same, labels)
  np.testing.assert_array_equal(served, images)


@pytest.mark.slow
def test_workers_of_a_service_share_the_epochs(dataset, service):
  _, labels = take(dataset, 40 * NUM_STEPS, data_service=service(2))
  # Each epoch holds 42 of 45 examples once; which worker is ahead of the
  # other is not known, and so the last epochs are not whole.
  stored = [int(label) for _, label in dataset.examples("train")]
  counts = np.bincount(labels, minlength=50)[stored]
  expected = 40 * 42 / 45
  assert counts.sum() == 40 * 42
  assert np.abs(counts - expected).max() <= 6


@pytest.mark.slow
def test_damaged_images_are_counted_where_they_are_used(tmp_path, service):
  bad = damaged_images.store_folder(tmp_path)
  dataset = image_data.ImageFolder(tmp_path)
  counted = image_data.BadExamples(4)
  preparation = image_data.TrainingPreparation(image_size=8)
  arguments = {"batch_size": 10, "preparation": preparation, "seed": 3}
  images, _ = take(dataset, 4, **arguments)
  served, _ = take(
      dataset, 4, bad_examples=counted, data_service=service(1), **arguments
  )
  np.testing.assert_array_equal(served, images)
  assert sorted(counted.names) == sorted(bad)


def test_service_without_workers_is_refused(dataset, service, monkeypatch):
  monkeypatch.setattr(data_service, "_SECONDS", 1)
  with pytest.raises(ValueError, match="within 1 s; does .* have workers"):
    take(dataset, 1, data_service=service(0))


@pytest.mark.parametrize("address", ["grpc://localhost:1", "localhost:5000"])
def test_service_that_does_not_answer_is_refused(dataset, address):
  with pytest.raises(ValueError, match=f"answers at '{address}'.*grpc://host"):
    take(dataset, 1, data_service=address)
