"""Tests of `benchmarks.jpeg_records`."""

import numpy as np
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
