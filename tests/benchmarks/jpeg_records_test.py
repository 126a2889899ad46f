"""Tests of `benchmarks.jpeg_records`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import jpeg_records
import image_data


def test_stored_images_are_jpeg_files_of_the_size_of_photographs(tmp_path):
  jpeg_records.store(tmp_path, num_images=20, num_classes=3)
  dataset = image_data.open_dataset("made_photographs", data_dir=tmp_path)
  assert dataset.num_classes == 3
  # A tenth of what is stored for training is for validation.
  assert dataset.num_examples("train") == 18
  assert dataset.num_examples("test") == 5
  files = {str(f.filename) for f in dataset.file_instructions("train")}
  sizes = []
  for record in tf.data.TFRecordDataset(sorted(files)):
    content, label = dataset.encoded(record)
    assert bool(tf.io.is_jpeg(content)) and 0 <= int(label) < 3
    assert tf.io.decode_jpeg(content).shape == (375, 500, 3)
    sizes.append(len(content.numpy()))
  assert 80_000 < np.mean(sizes) < 150_000


def test_images_differ():
  rng = np.random.default_rng(0)
  first, second = jpeg_records.photograph(rng), jpeg_records.photograph(rng)
  assert np.abs(first.astype(int) - second).mean() > 20


@pytest.mark.slow
def test_made_imagenet_is_read_as_the_real_one(tmp_path):
  jpeg_records.store_imagenet(tmp_path, num_images=100)
  dataset = image_data.open_dataset("imagenet2012", data_dir=tmp_path)
  assert (dataset.num_classes, dataset.version) == (1000, "5.1.0")
  assert dataset.class_names[0] == "n01440764"
  # The last 2 % of "train" are for validation; TFDS's "validation", to test.
  assert dataset.num_examples("train") == 98
  assert dataset.num_examples("test") == 25
  batches = image_data.eval_batches(
      dataset, "test", batch_size=25, image_size=8
  )
  ((images, labels),) = batches
  assert images.shape == (25, 8, 8, 3) and len(set(labels.numpy())) == 25
  with pytest.raises(FileExistsError, match="may be the real one"):
    jpeg_records.store_imagenet(tmp_path, num_images=100)
