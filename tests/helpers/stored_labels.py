"""A stored data set of tiny images, for tests of labels and splits."""

import numpy as np
import tensorflow_datasets as tfds

_FEATURES = tfds.features.FeaturesDict(
    {
        "image": tfds.features.Image(shape=(4, 4, 1)),
        "label": tfds.features.ClassLabel(num_classes=200),
    }
)


def store(data_dir, labels_by_split, *, file_format=None):
  """Writes the TFDS data set "stored", as another program would.

  Args:
    data_dir: folder to write to.
    labels_by_split: split of TFDS's -> labels, in [-1, 200).
    file_format: of TFDS's; None for its default.
  """
  tfds.dataset_builders.store_as_tfds_dataset(
      name="stored",
      version="1.2.3",
      features=_FEATURES,
      split_datasets={
          split: [
              (
                  key,
                  {"image": np.full((4, 4, 1), key, np.uint8), "label": label},
              )
              for key, label in enumerate(labels)
          ]
          for split, labels in labels_by_split.items()
      },
      data_dir=data_dir,
      file_format=file_format,
  )
