"""Tests of `image_data.pipeline` with examples that cannot be read."""

import numpy as np
import pytest
import tensorflow as tf

import image_data
from image_data import datasets
from tests.helpers import damaged_images
from tests.helpers import numbered_images
from tests.helpers import parameters


def take(
    dataset,
    num_steps,
    *,
    batch_size=10,
    seed=1,
    image_size=None,
    augmentation="none",
    **kwargs,
):
  """Returns images and labels of the first batches, concatenated."""
  batches = image_data.train_batches(
      dataset,
      batch_size=batch_size,
      seed=seed,
      preparation=image_data.TrainingPreparation(image_size, augmentation),
      **kwargs,
  )
  images, labels = zip(*batches.take(num_steps), strict=True)
  return np.concatenate(images), np.concatenate(labels)


@pytest.fixture(name="damaged", params=["records", "files"])
def fixture_damaged(request, tmp_path):
  """A data set with four images that cannot be decoded, and their names."""
  if request.param == "files":
    bad = damaged_images.store_folder(tmp_path)
    name = f"image_folder:{tmp_path}"
  else:
    bad, name = damaged_images.store_records(tmp_path), "damaged"
  return image_data.open_dataset(name, data_dir=tmp_path), bad


OF_FILES, OF_RECORDS = (
    pytest.mark.parametrize(
        "damaged",
        parameters.slow_but([fast], ["records", "files"]),
        indirect=True,
    )
    for fast in ("files", "records")
)


@OF_FILES
@pytest.mark.parametrize(
    "augmentation", [pytest.param("none", marks=pytest.mark.slow), "crop_flip"]
)
def test_damaged_images_are_replaced_in_training(damaged, augmentation):
  dataset, bad = damaged
  counted = image_data.BadExamples(4)
  arguments = {"image_size": 8, "augmentation": augmentation}
  images, labels = take(
      dataset, 8, seed=3, bad_examples=counted, **arguments
  )  # Two epochs.
  assert len(labels) == 80 and set(labels) <= set(range(3))
  assert sorted(counted.names) == sorted(bad)
  assert not np.any(np.all(images == 0, axis=(1, 2, 3)))
  # Resumed, the same.
  rest, _ = take(dataset, 3, seed=3, first_step=5, **arguments)
  np.testing.assert_array_equal(rest, images[50:])


@OF_RECORDS
def test_damaged_images_are_left_out_of_evaluation(damaged):
  dataset, bad = damaged
  counted = image_data.BadExamples(4)
  batches = image_data.eval_batches(
      dataset, "train", batch_size=10, image_size=8, bad_examples=counted
  )
  sizes = [len(labels) for _, labels in batches]
  assert sizes == [10, 10, 10, 6]
  assert sorted(counted.names) == sorted(bad)


@OF_RECORDS
def test_too_many_damaged_images_stop_training(damaged):
  dataset, _ = damaged
  counted = image_data.BadExamples(3)
  with pytest.raises(tf.errors.OpError, match="More than 3 examples"):
    take(dataset, 8, image_size=8, bad_examples=counted)
  with pytest.raises(image_data.TooManyBadExamples):
    counted.check()


@pytest.mark.slow
def test_label_out_of_range_counts_as_damaged(tmp_path, monkeypatch):
  monkeypatch.setattr(datasets, "_MEMORY_LIMIT_BYTES", 0)
  numbered_images.store(tmp_path, name="numbered", shapes=[(16, 8, 1)] * 50)
  dataset = image_data.open_dataset("numbered", data_dir=tmp_path)
  dataset.num_classes = 40  # Of labels to 49.
  stored = [int(label) for _, label in dataset.examples("train")]
  counted = image_data.BadExamples()
  _, labels = take(dataset, 5, batch_size=9, bad_examples=counted)
  assert set(labels) == {label for label in stored if label < 40}
  assert len(counted.names) == sum(label >= 40 for label in stored)
