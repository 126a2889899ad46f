"""One pass of a network over a data set."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

PerExample = Callable[[dict[str, np.ndarray], Any], dict[str, np.ndarray]]


class Collector:
  """Runs one network at inference, over one data set or many.

  The graph of the network is traced once, in the first run, for batches of any
  size.

  Args:
    model: a Keras model with a dictionary of outputs.
  """

  def __init__(self, model: keras.Model):
    inputs = getattr(model, "inputs", None) or []
    # Where a network has a size of its own for batches, as it is called.
    self._is_traced = any(each.shape[0] is not None for each in inputs)
    # Not `predict_on_batch`, in which each replica would answer.
    self._forward = tf.function(
        lambda images: model(images, training=False), reduce_retracing=True
    )

  def collect(
      self,
      dataset: tf.data.Dataset,
      per_example: PerExample,
      *,
      inputs: Callable[[Any], Any] | None = None,
  ) -> dict[str, np.ndarray]:
    """Runs all examples, as `collect` does.

    Args:
      dataset: batched, of (images, ...).
      per_example: as of `collect`.
      inputs: from the images of a batch to what the model takes; None for the
        images themselves.

    Returns:
      What `per_example` returned, joined over all batches.

    Raises:
      ValueError: if there is no example, or the data set never ends.
    """
    (found,) = self.collect_each(
        dataset, per_example, inputs=[inputs or _unchanged]
    )
    return found

  def collect_each(
      self,
      dataset: tf.data.Dataset,
      per_example: PerExample,
      *,
      inputs: Sequence[Callable[[Any], Any]],
  ) -> list[dict[str, np.ndarray]]:
    """Runs all examples in several ways, and reads them once.

    Args:
      dataset: as of `collect`.
      per_example: as of `collect`.
      inputs: from the images of a batch to what the model takes, way by way.

    Returns:
      Of each way, what `collect` would return.

    Raises:
      ValueError: if there is no example, or the data set never ends.
    """
    _check_ends(dataset)
    batches = []
    for images, *labels in dataset:
      labels = _arrays(*labels[:1])
      batches.append(
          [per_example(self._run(each(images)), labels) for each in inputs]
      )
    if not batches:
      raise ValueError(
          "The data set holds no example that can be read; at least one is "
          "needed."
      )
    return [_joined(found) for found in zip(*batches, strict=True)]

  def _run(self, inputs):
    if not (self._is_traced or tf.config.functions_run_eagerly()):
      # The last batch of a data set may be smaller.
      specs = keras.tree.map_structure(_of_any_batch, inputs)
      self._forward.get_concrete_function(specs)
      self._is_traced = True
    outputs = self._forward(inputs)
    return {name: np.asarray(value) for name, value in outputs.items()}


def collect(
    model: keras.Model,
    dataset: tf.data.Dataset,
    per_example: PerExample,
) -> dict[str, np.ndarray]:
  """Runs a network at inference on all examples of a data set.

  Args:
    model: a Keras model with a dictionary of outputs.
    dataset: batched, of (images, ...).
    per_example: from the outputs of a batch, by name, and its labels (None
      where there are none), to arrays whose first axis is the batch. What it
      does not return is not kept.

  Returns:
    What `per_example` returned, joined over all batches.

  Raises:
    ValueError: if there is no example, or the data set never ends.
  """
  return Collector(model).collect(dataset, per_example)


def _of_any_batch(tensor):
  tensor = tf.convert_to_tensor(tensor)
  return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


def _unchanged(images):
  return images


def _joined(found):
  return {
      name: np.concatenate([each[name] for each in found]) for name in found[0]
  }


def _check_ends(dataset):
  is_dataset = isinstance(dataset, tf.data.Dataset)
  if is_dataset and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
    raise ValueError(
        "The data set never ends (`.repeat()` without a number), and all of it "
        "is to be measured. Leave `.repeat()` out, or give `dataset.take(n)` "
        f"with the number of batches. Received: {dataset}"
    )


def _arrays(labels=None):
  if labels is None:
    return None
  return keras.tree.map_structure(np.asarray, labels)
