"""MixUp of a batch, reproducible from a seed."""

import math

import tensorflow as tf


def mixup(
    images: tf.Tensor, labels: tf.Tensor, seed: tf.Tensor, *, alpha: float
) -> tuple[tf.Tensor, tf.Tensor]:
  """Blends each example with another one of the batch, labels as images.

  An example keeps a share of itself, drawn from Beta(alpha, alpha); its partner
  is drawn by a random permutation of the batch, so may be itself.

  Args:
    images: float32 [batch, height, width, channels].
    labels: float32 [batch, classes], one-hot or any probabilities.
    seed: int64 [2].
    alpha: positive. Towards 0, each example is kept or replaced; towards
      infinity, the two are averaged.

  Returns:
    Images and labels, of the shapes and types received.

  Raises:
    ValueError: If an argument is not as described.

  References:
    Zhang et al., arXiv 1710.09412, equation 1.
  """
  _check_batch("images", images, rank=4)
  _check_batch("labels", labels, rank=2)
  if not 0 < alpha < math.inf:
    raise ValueError(f"`alpha` must be positive and finite. Received: {alpha}")
  # Not KerasCV's layer, whose random ops hold a state.
  share_seed, order_seed = tf.unstack(tf.random.split(seed))
  size = tf.shape(images)[0]
  shares = _beta(share_seed, size, alpha)
  order = tf.argsort(tf.random.stateless_uniform([size], order_seed))
  return _blend(images, shares, order), _blend(labels, shares, order)


def _check_batch(name, batch, *, rank):
  if batch.shape.rank != rank or batch.dtype != tf.float32:
    raise ValueError(
        f"`{name}` must be float32 of rank {rank}. Received:"
        f" {batch.dtype.name} {batch.shape}"
    )


def _beta(seed, size, alpha):
  """Draws from Beta(alpha, alpha).

  `x / (x + y)` for x and y of law Gamma(alpha), but by their logarithms: at
  small alpha both underflow, and 0 / 0 or a clipped 0.5 would result where
  nearly all of the law is at 0 and 1. `Gamma(alpha)` is `Gamma(alpha + 1) *
  uniform ** (1 / alpha)`.
  """
  gamma_seed, uniform_seed = tf.unstack(tf.random.split(seed))
  gammas = tf.random.stateless_gamma([2, size], gamma_seed, alpha + 1.0)
  # In (0, 1]: the logarithm is finite.
  uniforms = 1 - tf.random.stateless_uniform([2, size], uniform_seed)
  x, y = tf.unstack(tf.math.log(gammas))
  u, v = tf.unstack(tf.math.log(uniforms))
  return tf.sigmoid(x - y + (u - v) / alpha)


def _blend(batch, shares, order):
  shares = tf.reshape(shares, [-1] + [1] * (batch.shape.rank - 1))
  mixed = shares * batch + (1 - shares) * tf.gather(batch, order)
  return tf.ensure_shape(mixed, batch.shape)
