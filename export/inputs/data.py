"""The images and labels that an export decides, checks and measures on."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from export.checks import self_check
from export.inputs import labels as labels_lib
from export.inputs import source as source_lib
import image_data


@dataclasses.dataclass(frozen=True)
class Data:
  """What an export measures on.

  Args:
    examples: of the evaluation split.
    validation: batches of (images, labels).
    calibration: float32 [n, height, width, channels], training images.
    class_names: in the order of the labels.
  """

  examples: self_check.Examples
  validation: tf.data.Dataset
  calibration: np.ndarray
  class_names: list[str]


def read_data(
    source: source_lib.Source,
    *,
    split: str,
    labels: str | os.PathLike | None,
    num_examples: int,
    num_calibration: int,
    bad_examples: image_data.BadExamples | None = None,
) -> Data:
  """Reads what an export measures on.

  Args:
    source: the network and its data set.
    split: that accuracies are reported on.
    labels: file of class names, one a line; None for the data set's.
    num_examples: of that split, at most.
    num_calibration: training images for int8.
    bad_examples: counts those that cannot be read.

  Raises:
    ValueError: if images are of another size than the network takes, there are
      more or fewer names than classes, or no validation images.
  """
  if not source.dataset.num_examples("validation"):
    raise ValueError(
        f"{source.dataset.name} has no validation images, on which is decided "
        "what becomes of each gate. Give a --dataset that has some, such as "
        "image_folder:PATH with a folder `val` beside `train`."
    )

  def batches(name):
    return image_data.eval_batches(
        source.dataset,
        name,
        batch_size=32,
        image_size=source.image_size,
        bad_examples=bad_examples,
    )

  class_names = labels_lib.class_names(labels, source.dataset)
  preparation = _preparation(source)
  images, classes = _arrays(batches(split), num_examples)
  calibration, _ = _arrays(batches("train"), num_calibration)
  return Data(
      examples=self_check.Examples(images, classes, preparation),
      validation=batches("validation"),
      calibration=calibration,
      class_names=class_names,
  )


def _preparation(source):
  preparation = image_data.EvaluationPreparation.of_dataset(
      source.dataset, image_size=source.image_size
  )
  shape = source_lib.image_shape(source.model)
  if preparation.image_shape != shape:
    raise ValueError(
        f"The network takes images of shape {shape}; those of "
        f"{source.dataset.name} have {preparation.image_shape}. Give "
        "--image_size or another --dataset."
    )
  return preparation


def _arrays(batches, most):
  batches = batches.unbatch().take(most).batch(most)
  images, labels = next(iter(batches))
  return np.asarray(images), np.asarray(labels)
