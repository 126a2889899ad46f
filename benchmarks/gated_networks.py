"""Networks whose gates open for a chosen share of random images."""

import numpy as np
import tensorflow as tf

import pgates

_SHARE = 0.6  # Of open gates, behind which the later gates are spread.


def spread_gates(model, images, *, seed=0):
  """Lets the gates of a network of random weights differ between images.

  Each gate reads a random direction of its hidden features, scaled and shifted
  so that its logits over the images have mean 0 and deviation 1.

  Args:
    model: a ResNet of this project with data-dependent gates; changed.
    images: float32 [n, height, width, channels].
    seed: of the directions.
  """
  rng = np.random.default_rng(seed)
  x = tf.constant(images)
  for layer in model.layers[1:]:
    if layer.name == "pool":
      return
    if not isinstance(layer, pgates.GatedResidual):
      x = layer(x)
      continue
    gate = layer.gate
    kernel = rng.normal(size=gate.logit.kernel.shape)
    gate.logit.kernel.assign(kernel)
    gate.logit.bias.assign([0.0])
    logits = np.asarray(gate(x), np.float64)
    gate.logit.kernel.assign(kernel / logits.std())
    gate.logit.bias.assign([-logits.mean() / logits.std()])
    x, _, _ = layer(x, rule=f"threshold:{1 - _SHARE}")


def randomize_batch_norms(model, *, seed=0):
  """Gives batch norms the statistics of no neutral element.

  A fresh batch norm folds into a bias of zero, which TensorFlow removes from
  the graph: the convolutions of a trained network run in other kernels.

  Args:
    model: a Keras model; changed.
    seed: of the values.
  """
  rng = np.random.default_rng(seed)
  for variable in model.weights:
    name = variable.path.rpartition("/")[2]
    if name in ("gamma", "moving_variance"):
      variable.assign(rng.uniform(0.5, 1.0, variable.shape))
    elif name in ("beta", "moving_mean"):
      variable.assign(rng.normal(0.0, 0.1, variable.shape))


def random_images(shape, num_images, *, seed=0):
  """Noise of different contrast and colour, float32 in [0, 255]."""
  rng = np.random.default_rng(seed)
  noise = rng.uniform(0, 255, (num_images, *shape))
  colour = rng.uniform(0.1, 1.0, (num_images, 1, 1, shape[-1]))
  return (noise * colour).astype(np.float32)


def threshold_of_rate(model, images, rate):
  """The threshold at which a share of the gateable multiply-adds is executed.

  Args:
    model: a `pgates.GatedModel`.
    images: to measure on.
    rate: the share; 1 opens all gates, 0 closes all.

  Returns:
    A probability.
  """
  if rate in (0, 1):
    return 1.0 - rate
  macs = model.macs
  budget = (macs.always + rate * sum(macs.branches)) / macs.dense
  data = tf.data.Dataset.from_tensor_slices((images,)).batch(8)
  return pgates.budget_threshold(model, budget, data)
