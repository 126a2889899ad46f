"""Synthetic data sets of JPEG files of ImageNet's typical size, stored by TFDS.

    python -m benchmarks.jpeg_records DATA_DIR

writes an `imagenet2012` of noise into DATA_DIR, to try its recipes on: with
TFDS's own features and version, 1,000 classes, and few images.
"""

from absl import app
from absl import flags
from absl import logging
import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

# About the mean of ImageNet's photographs: 500 x 375 pixels, 110 kB.
_HEIGHT, _WIDTH = 375, 500
_COARSE = 16  # Pixels of one patch of colour.
_NOISE = 14  # Of the fine grain, by which the files get their size.

_NUM_IMAGES = flags.DEFINE_integer(
    "num_images", 408, "For training", lower_bound=100
)


def store(data_dir, *, name="made_photographs", num_images=512, num_classes=10):
  """Writes a data set, in four files a split.

  Args:
    data_dir: TFDS's folder of prepared data sets.
    name: of the data set.
    num_images: for training; a quarter as many to test on.
    num_classes: of the labels, which go round.
  """
  features = tfds.features.FeaturesDict(
      {
          "image": tfds.features.Image(
              shape=(None, None, 3), encoding_format="jpeg"
          ),
          "label": tfds.features.ClassLabel(num_classes=num_classes),
      }
  )
  splits = {
      "train": _examples(num_images, num_classes, seed=0),
      "test": _examples(num_images // 4, num_classes, seed=1),
  }
  _write(data_dir, name, "1.0.0", features, splits)


def store_imagenet(data_dir, *, num_images):
  """Writes an `imagenet2012` of noise, which only looks like TFDS's.

  Args:
    data_dir: TFDS's folder of prepared data sets.
    num_images: for training; a quarter as many in "validation".

  Raises:
    FileExistsError: if there is an `imagenet2012`.
  """
  builder = tfds.builder("imagenet2012", data_dir=data_dir, try_gcs=False)
  if builder.data_path.exists():
    raise FileExistsError(
        f"{builder.data_dir} exists, and may be the real one. Give another "
        "DATA_DIR."
    )
  # 7 has no divisor in common with 1,000: all classes come up.
  splits = {
      split: [
          (key, {**value, "label": 7 * key % 1000, "file_name": f"{key}.JPEG"})
          for key, value in _examples(count, 1000, seed=seed)
      ]
      for seed, (split, count) in enumerate(
          {"train": num_images, "validation": num_images // 4}.items()
      )
  }
  _write(
      data_dir,
      builder.name,
      str(builder.version),
      builder.info.features,
      splits,
  )


def _write(data_dir, name, version, features, splits):
  tfds.dataset_builders.store_as_tfds_dataset(
      name=name,
      version=version,
      features=features,
      split_datasets=splits,
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


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the folder to write to.")
  logging.set_verbosity(logging.WARNING)  # TFDS is talkative.
  store_imagenet(argv[1], num_images=_NUM_IMAGES.value)
  print(f"Wrote {_NUM_IMAGES.value} images as imagenet2012 in {argv[1]}.")


if __name__ == "__main__":
  app.run(main)
