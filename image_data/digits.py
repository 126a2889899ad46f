"""Digits: 1,797 real handwritten digits that need no download."""

from collections.abc import Iterator

import numpy as np
from sklearn import datasets as sklearn_datasets
from sklearn import model_selection
import tensorflow_datasets as tfds

HOMEPAGE = (
    "https://archive.ics.uci.edu/dataset/80/"
    "optical+recognition+of+handwritten+digits"
)

CITATION = """
@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49},
}
"""

_HELD_OUT_EXAMPLES = 300


def source_digits() -> tuple[np.ndarray, np.ndarray]:
  """Returns scikit-learn's digits as images and labels.

  Returns:
    Images, uint8 [1797, 8, 8, 1] in [0, 255], and labels, int64 [1797].
  """
  source = sklearn_datasets.load_digits()
  # The source counts the inked pixels of 4x4 cells: 0 to 16.
  images = np.round(source.images * (255 / 16)).astype(np.uint8)
  return images[..., np.newaxis], source.target.astype(np.int64)


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
  """Divides the source digits among the splits, class by class.

  Args:
    labels: the labels that `source_digits` returns, [1797].

  Returns:
    Sorted source indices of "train" (1,197), "validation" (300) and "test"
    (300). They are disjoint, hold every source digit, and each has the class
    shares of the whole to within one example.
  """
  rest, test = model_selection.train_test_split(
      np.arange(len(labels)),
      test_size=_HELD_OUT_EXAMPLES,
      stratify=labels,
      random_state=0,
  )
  train, validation = model_selection.train_test_split(
      rest,
      test_size=_HELD_OUT_EXAMPLES,
      stratify=labels[rest],
      random_state=0,
  )
  return {
      "train": np.sort(train),
      "validation": np.sort(validation),
      "test": np.sort(test),
  }


class Digits(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of scikit-learn's handwritten digits, 8x8 grey images.

  Train, validation and test hold 1,197, 300 and 300 different digits.
  """

  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "The 1,797 digits of sklearn.datasets.load_digits."}

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description=(
            "The test part of the UCI data set of optically recognised "
            "handwritten digits, as distributed with scikit-learn, divided "
            "into train, validation and test with equal class shares."
        ),
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(
                    shape=(8, 8, 1), encoding_format="png"
                ),
                "label": tfds.features.ClassLabel(num_classes=10),
            }
        ),
        supervised_keys=("image", "label"),
        homepage=HOMEPAGE,
        citation=CITATION,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    del dl_manager  # The digits come with scikit-learn.
    _, labels = source_digits()
    return {
        split: self._generate_examples(indices)
        for split, indices in split_indices(labels).items()
    }

  def _generate_examples(self, indices: np.ndarray) -> Iterator:
    images, labels = source_digits()
    for index in indices.tolist():
      yield index, {"image": images[index], "label": int(labels[index])}
