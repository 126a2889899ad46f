"""A made data set of JPEG files of ImageNet's typical size, stored by TFDS."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

# About the mean of ImageNet's photographs: 500 x 375 pixels, 110 kB.
_HEIGHT, _WIDTH = 375, 500
_COARSE = 16  # Pixels of one patch of colour.
_NOISE = 14  # Of the fine grain, by which the files get their size.


def store(data_dir, *, name="made_photographs", num_images=512, num_classes=10):
  """Writes the data set, in four files a split.

  Args:
    data_dir: TFDS's folder of prepared data sets.
    name: of the data set.
    num_images: for training; a quarter as many to test on.
    num_classes: of the labels, which go round.
  """
  tfds.dataset_builders.store_as_tfds_dataset(
      name=name,
      version="1.0.0",
      features=tfds.features.FeaturesDict(
          {
              "image": tfds.features.Image(
                  shape=(None, None, 3), encoding_format="jpeg"
              ),
              "label": tfds.features.ClassLabel(num_classes=num_classes),
          }
      ),
      split_datasets={
          "train": _examples(num_images, num_classes, seed=0),
          "test": _examples(num_images // 4, num_classes, seed=1),
      },
      data_dir=data_dir,
      download_config=tfds.download.DownloadConfig(num_shards=4),
  )


def _examples(count, num_classes, *, seed):
  rng = np.random.default_rng(seed)
  return [
      (i, {"image": photograph(rng), "label": i % num_classes})
      for i in range(count)
  ]


def photograph(rng):
  """Patches of colour under a fine grain, uint8 [375, 500, 3].

  Args:
    rng: a NumPy generator.
  """
  coarse = rng.uniform(
      0, 255, (_HEIGHT // _COARSE + 1, _WIDTH // _COARSE + 1, 3)
  )
  smooth = tf.image.resize(coarse, (_HEIGHT, _WIDTH), "bicubic").numpy()
  grain = rng.normal(0, _NOISE, smooth.shape)
  return np.clip(smooth + grain, 0, 255).astype(np.uint8)
