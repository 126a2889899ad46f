"""Asks a network for its gates on fixed examples, while it trains."""

import numpy as np

# The examples are kept: of images of 224 x 224 pixels, 111.
_BYTES = 2**26
_MOST = 1024


class GateProbe:
  """The gates of some examples, as the network decides at inference.

  Args:
    model: a `pgates.GatedModel`.
    batches: batched `tf.data.Dataset` of (images, labels), labels integers;
      the first 1,024 examples are taken, or as many as fit in 64 MB.
  """

  def __init__(self, model, batches):
    images, labels = [], []
    for image, label in batches.unbatch().take(_MOST).as_numpy_iterator():
      images.append(image)
      labels.append(label)
      if (len(images) + 1) * image.nbytes > _BYTES:
        break
    self._model = model
    self._images = np.stack(images)
    self.labels = np.array(labels)

  def sample(self):
    """Probabilities and decisions of the network as it is.

    Returns:
      `(probabilities, gates)`, float64 and bool [examples, blocks].
    """
    outputs = self._model.predict(self._images, verbose=0)
    logits = np.asarray(outputs["gate_logits"], np.float64)
    return 1 / (1 + np.exp(-logits)), outputs["gates"] > 0
