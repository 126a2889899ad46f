"""Networks to measure, and the images that they are measured on."""

import dataclasses

import numpy as np
import tensorflow as tf

from benchmarks import gated_networks
from export.inputs import source as source_lib
import image_data
import pgates

_NUM_IMAGES = 256  # Of a run's test split.


@dataclasses.dataclass(frozen=True)
class Subject:
  """A network to measure.

  Args:
    model: a `pgates.GatedModel` whose gates differ between images.
    images: float32 [n, height, width, channels].
    validation: batches of (images, labels) to decide on, or None.
    test: batches of (images, labels) for accuracies, or None.
    ungated: a network trained without gates, to compare with, or None.
  """

  model: pgates.GatedModel
  images: np.ndarray
  validation: tf.data.Dataset | None = None
  test: tf.data.Dataset | None = None
  ungated: pgates.GatedModel | None = None

  @property
  def reference(self) -> str:
    """The candidate that times are taken by."""
    return "all_open" if self.ungated is None else "ungated"


def random_network(name, size):
  """A network of random weights, and images that its gates tell apart."""
  images = gated_networks.random_images((size, size, 3), 32)
  model = pgates.build_network(
      name, num_classes=1000, input_shape=images.shape[1:]
  )
  gated_networks.randomize_batch_norms(model)
  gated_networks.spread_gates(model, images)
  return Subject(model, images)


def trained_network(workdir, data_dir, reference=None):
  """The network of a run, and images of its test split.

  Args:
    workdir: of the run.
    data_dir: of its data set; None for the run's.
    reference: the workdir of a run without gates to compare with, or None.
  """
  source = source_lib.open_source(workdir=workdir, data_dir=data_dir)

  def batches(split):
    return image_data.eval_batches(
        source.dataset,
        split,
        batch_size=_NUM_IMAGES,
        image_size=source.image_size,
    )

  images, _ = next(iter(batches("test")))
  ungated = None
  if reference is not None:
    ungated = source_lib.open_reference(reference, source)
  return Subject(
      source.model,
      images.numpy(),
      batches("validation"),
      batches("test"),
      ungated,
  )
