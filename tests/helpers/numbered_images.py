"""A stored data set whose labels number its examples, for tests of reading."""

import numpy as np
import tensorflow_datasets as tfds

NUM_TRAIN = 45  # Of 50 that are stored: the last tenth is "validation".
NUM_TEST = 16


def store(data_dir, *, name, shapes):
  """Writes a data set in four files, and "test" in another four.

  Args:
    data_dir: folder to write to.
    name: of the data set.
    shapes: [height, width, channels] of each training image.
  """
  generator = np.random.default_rng(0)
  variable = len(set(shapes)) > 1

  def examples(shapes):
    return [
        (
            label,
            {
                # No zeros, which shifts move in.
                "image": generator.integers(1, 256, shape, np.uint8),
                "label": label,
            },
        )
        for label, shape in enumerate(shapes)
    ]

  tfds.dataset_builders.store_as_tfds_dataset(
      name=name,
      version="1.0.0",
      features=tfds.features.FeaturesDict(
          {
              "image": tfds.features.Image(
                  shape=(None, None, 3) if variable else shapes[0]
              ),
              "label": tfds.features.ClassLabel(num_classes=100),
          }
      ),
      split_datasets={
          "train": examples(shapes),
          "test": examples(shapes[:NUM_TEST]),
      },
      data_dir=data_dir,
      download_config=tfds.download.DownloadConfig(num_shards=4),
  )
