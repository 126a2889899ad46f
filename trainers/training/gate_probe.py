"""Asks a network for its gates on fixed examples, while it trains."""

import keras
import numpy as np
from scipy import special
import tensorflow as tf

# The examples are kept: of images of 224 x 224 pixels, 111.
_BYTES = 2**26
# Enough for a histogram; more would cost more than 2 % of a short epoch.
_MOST = 256


class GateProbe:
  """The gates of some examples, as the network decides at inference.

  Args:
    model: a `pgates.GatedModel`.
    batches: batched `tf.data.Dataset` of (images, labels), labels integers;
      the first 256 examples are taken, or as many as fit in 64 MB.

  Raises:
    ValueError: if there is no example.
  """

  def __init__(self, model: keras.Model, batches: tf.data.Dataset):
    images, labels = [], []
    for image, label in batches.unbatch().take(_MOST).as_numpy_iterator():
      images.append(image)
      labels.append(label)
      if (len(images) + 1) * image.nbytes > _BYTES:
        break
    if not images:
      raise ValueError("Not one of the validation images can be read.")
    self._images = tf.constant(np.stack(images))
    self.labels = np.array(labels)
    # Not `predict`, in which each replica would answer.
    self._call = tf.function(lambda images: model(images, training=False))

  def sample(self) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and decisions of the network as it is.

    Returns:
      `(probabilities, gates)`, float64 and bool [examples, blocks].
    """
    outputs = self._call(self._images)
    logits = np.asarray(outputs["gate_logits"], np.float64)
    return special.expit(logits), np.asarray(outputs["gates"]) > 0
