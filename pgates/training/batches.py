"""What a step of training or evaluation is given, taken apart."""

from typing import Any

import keras
import tensorflow as tf

from pgates.training import task_losses


def unpack(
    data: Any, names: list[str]
) -> tuple[Any, dict[str, tf.Tensor], dict[str, tf.Tensor | None]]:
  """Inputs, and labels and sample weights by the names of outputs.

  Args:
    data: as Keras gives it to a step.
    names: of the outputs that labels are needed for.

  Returns:
    `(inputs, labels, weights)`: two dictionaries; of weights that were not
    given, None.

  Raises:
    ValueError: if labels are missing.
  """
  inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
  labels = task_losses.by_name(labels, names, what="labels")
  if not isinstance(weights, dict):
    weights = dict.fromkeys(names, weights)
  # `train_on_batch` brings NumPy arrays, where it runs eagerly.
  tensors = keras.tree.map_structure(
      lambda weight: None if weight is None else tf.convert_to_tensor(weight),
      {name: weights.get(name) for name in names},
  )
  return inputs, labels, tensors
