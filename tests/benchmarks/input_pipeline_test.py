"""Tests of `benchmarks.input_pipeline`."""

import itertools
import time

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import input_pipeline
from benchmarks import jpeg_records
from export.timing import interleaved
import image_data
from tests.helpers import result_shapes


@pytest.fixture(name="dataset", scope="module")
def _dataset(tmp_path_factory):
  folder = tmp_path_factory.mktemp("photographs")
  # A label for each.
  jpeg_records.store(folder, num_images=20, num_classes=20)
  return image_data.open_dataset("made_photographs", data_dir=folder)


@pytest.mark.slow
def test_plain_batches_are_the_decoded_and_resized_files(dataset):
  batches = input_pipeline.plain_batches(dataset, batch_size=4, image_size=32)
  images, labels = next(iter(batches))
  expected = {
      int(label): tf.image.resize(image, (32, 32)).numpy()
      for image, label in dataset.examples("train")
  }
  assert images.shape == (4, 32, 32, 3)
  assert len(set(labels.numpy().tolist())) == 4
  for image, label in zip(images, labels.numpy().tolist(), strict=True):
    np.testing.assert_allclose(image, expected[label], atol=1)


@pytest.mark.slow
def test_rates_count_the_images_of_a_turn(dataset, monkeypatch):
  measure = interleaved.measure
  turns = []

  def counted(candidates, **options):
    read = []
    for candidate in candidates.values():
      with candidate as call:
        read.append(call())
    turns.append(read)
    return measure(candidates, **options)

  monkeypatch.setattr(interleaved, "measure", counted)
  result = input_pipeline.measure(
      dataset,
      as_stored=dataset,
      batch_size=4,
      image_size=32,
      num_batches=6,
      repeats=1,
  )
  # More than an epoch of each, though evaluation ends by itself.
  assert turns == [[6, 6, 6, 6]]
  assert set(result) == {
      "plain",
      "train",
      "train_without_exif",
      "evaluate",
  }
  for row in result.values():
    seconds = row["median_ms"] / 1000
    assert row["images_per_second"] == pytest.approx(24 / seconds)
  committed = result_shapes.committed("input_pipeline.json")["pipelines"]
  assert result_shapes.shape(result) == result_shapes.shape(
      committed, ignored=["images_per_second_and_core"]
  )


def test_pipeline_runs_in_its_own_turns_alone():
  made = []

  def endless():
    for number in itertools.count():
      made.append(number)
      yield number

  signature = tf.TensorSpec((), tf.int64)
  batches = tf.data.Dataset.from_generator(endless, output_signature=signature)
  reader = input_pipeline.Reader(
      batches.prefetch(100_000), num_batches=3, num_starting=2
  )
  for _ in range(2):
    with reader as call:
      assert call() == 3
    time.sleep(0.1)  # For what is in the making.
    num_made = len(made)
    time.sleep(0.3)
    assert len(made) == num_made
  assert made.count(0) == 2
