"""What a report shows of a network: what its gates decide on the test set."""

import dataclasses

import numpy as np
from scipy import special
import tensorflow as tf

import pgates


@dataclasses.dataclass(frozen=True)
class Decisions:
  """What MAP decides for each example of a split.

  Args:
    gates: bool [examples, blocks].
    labels: integers [examples].
    predictions: integers [examples].
    macs: executed multiply-adds [examples].
    extremes: the images of the two below: index -> uint8 [height, width,
      channels].
    cheapest: indices of the examples that execute least, least first; among
      equals, those whose gates would open for least on average.
    most_expensive: indices of those that execute most, most first; among
      equals, those whose gates would open for most.
  """

  gates: np.ndarray
  labels: np.ndarray
  predictions: np.ndarray
  macs: np.ndarray
  extremes: dict[int, np.ndarray]
  cheapest: list[int]
  most_expensive: list[int]

  @property
  def num_patterns(self) -> int:
    """Number of different combinations of gates."""
    return len(np.unique(self.gates, axis=0))


def decide(
    model: pgates.GatedModel, batches: tf.data.Dataset, *, num_extremes: int = 8
) -> Decisions:
  """Decides all examples of a data set by MAP.

  Args:
    model: a `pgates.GatedModel`.
    batches: batched `tf.data.Dataset` of (images, labels), read twice: once
      to decide, once for the few images to show.
    num_extremes: examples to show at each end.

  Returns:
    `Decisions`.
  """
  decided = pgates.with_strategy(model, "map")
  found = pgates.collect(decided, batches, _per_example)
  macs = np.asarray(model.macs.executed(found["gates"]))
  # Many examples execute the same blocks.
  expected = model.macs.expected(special.expit(found.pop("logits")))
  cheapest = np.lexsort((expected, macs))[:num_extremes].tolist()
  most_expensive = np.lexsort((-expected, -macs))[:num_extremes].tolist()
  return Decisions(
      **found,
      macs=macs,
      extremes=_images(batches, {*cheapest, *most_expensive}),
      cheapest=cheapest,
      most_expensive=most_expensive,
  )


def _per_example(outputs, labels):
  return {
      "gates": outputs["gates"] > 0,
      "logits": outputs["gate_logits"].astype(np.float64),
      "labels": labels,
      "predictions": outputs["logits"].argmax(axis=-1),
  }


def _images(batches, indices):
  found, first = {}, 0
  for images, _ in batches:
    for index in indices & set(range(first, first + len(images))):
      pixels = np.asarray(images[index - first])
      found[index] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    first += len(images)
  return found
