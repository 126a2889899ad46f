"""Tests of `image_data.mixup`."""

import itertools

import numpy as np
import pytest
from scipy import stats
import tensorflow as tf

from image_data.mixup import mixup
from tests.helpers import parameters

BATCH = 64
NUM_BATCHES = 300


def _images(batch=BATCH):
  rng = np.random.default_rng(0)
  return rng.uniform(0, 255, (batch, 5, 4, 3)).astype(np.float32)


def _seed(index=0):
  return tf.constant([3, index], tf.int64)


def _mixed(images, alpha=1.0, index=0):
  """Mixes images whose labels tell them apart."""
  labels = tf.eye(len(images))
  mixed = mixup(tf.constant(images), labels, _seed(index), alpha=alpha)
  return [tensor.numpy() for tensor in mixed]


def _shares_and_partners(labels):
  """Shares that examples keep, 1 where one is its own partner."""
  shares = np.diagonal(labels)
  others = labels - np.diag(shares)
  itself = np.arange(len(labels))
  partners = np.where(others.any(axis=1), others.argmax(axis=1), itself)
  return shares, partners


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_images_are_blended_by_the_shares_of_their_labels(alpha):
  images = _images()
  mixed, labels = _mixed(images, alpha)
  assert mixed.shape == images.shape and mixed.dtype == np.float32
  shares, partners = _shares_and_partners(labels.astype(np.float64))
  shares = shares.reshape(-1, 1, 1, 1)
  expected = shares * images + (1 - shares) * images[partners]
  np.testing.assert_allclose(mixed, expected, atol=1e-3)
  np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
  # No more than two examples in each.
  assert (np.count_nonzero(labels, axis=1) <= 2).all()
  assert np.abs(mixed - images).max() > 1


def test_partners_are_a_permutation():
  for index in range(5):
    _, labels = _mixed(_images(), index=index)
    _, partners = _shares_and_partners(labels)
    assert sorted(partners) == [*range(BATCH)]


def _mixed_labels(alpha, batch, num):
  """[num, batch, batch], of as many seeds."""
  images, labels = tf.zeros([batch, 1, 1, 1]), tf.eye(batch)

  def mix(index):
    return mixup(images, labels, tf.stack([index, 5]), alpha=alpha)[1]

  @tf.function
  def mix_all(indices):
    return tf.map_fn(mix, indices, fn_output_signature=tf.float32)

  return mix_all(tf.range(num, dtype=tf.int64)).numpy()


def test_every_permutation_is_equally_likely():
  found = [
      tuple(_shares_and_partners(labels)[1])
      for labels in _mixed_labels(1.0, batch=3, num=3000)
  ]
  permutations = [*itertools.permutations(range(3))]
  counts = np.array([found.count(order) for order in permutations])
  assert counts.sum() == 3000
  # Four standard errors of a count.
  assert np.abs(counts - 500).max() < 4 * np.sqrt(3000 * 1 / 6 * 5 / 6)


def _drawn_shares(alpha):
  # The same seeds make the same partners at any alpha, and by halves they are
  # all seen. A share is seen where an example is not its own partner.
  halves = _mixed_labels(1e30, BATCH, NUM_BATCHES)
  partnered = np.diagonal(halves, axis1=1, axis2=2) < 0.9
  batches = _mixed_labels(alpha, BATCH, NUM_BATCHES)
  shares = np.diagonal(batches, axis1=1, axis2=2)[partnered]
  return shares.astype(np.float64)


@pytest.mark.parametrize(
    "alpha", parameters.slow_but([0.2, 1.0], [0.05, 0.2, 1.0, 5.0])
)
def test_shares_follow_the_beta_law(alpha):
  shares = _drawn_shares(alpha)
  assert len(shares) > 0.9 * BATCH * NUM_BATCHES
  law = stats.beta(alpha, alpha)
  variance = 1 / (4 * (2 * alpha + 1))
  # Four standard errors each.
  errors = 4 / np.sqrt(len(shares))
  assert abs(shares.mean() - 0.5) < errors * np.sqrt(variance)
  squares = np.square(shares - 0.5)
  assert abs(squares.mean() - variance) < errors * squares.std()
  for point in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
    chance = law.cdf(point)
    error = np.sqrt(chance * (1 - chance))
    assert abs((shares <= point).mean() - chance) <= errors * error + 1e-4


def test_shares_of_a_batch_are_independent():
  shares = np.diagonal(_mixed_labels(1.0, 8, 1500), axis1=1, axis2=2)
  correlations = np.corrcoef(shares.T)[np.triu_indices(8, 1)]
  # Five standard errors.
  assert np.abs(correlations).max() < 5 / np.sqrt(1500)


def test_at_tiny_alpha_examples_are_kept_or_replaced():
  # As gammas underflow, 0 / 0 is not a number, and clipped they give 0.5.
  for alpha in (1e-4, 1e-30):
    batches = _mixed_labels(alpha, BATCH, 20)
    shares = np.diagonal(batches, axis1=1, axis2=2)
    between = (shares > 1e-3) & (shares < 1 - 1e-3)
    # By the law: 7e-4 of them at alpha 1e-4, one of 1,280.
    assert np.isfinite(batches).all() and between.mean() < 0.005
    assert 0.4 < shares.round().mean() < 0.6


def test_at_huge_alpha_examples_are_averaged():
  images = _images()
  mixed, labels = _mixed(images, alpha=1e30)
  _, partners = _shares_and_partners(labels)
  expected = (images + images[partners]) / 2
  np.testing.assert_allclose(mixed, expected, atol=1e-3)


def test_batch_is_a_function_of_the_seed():
  images, labels = _images(), np.eye(BATCH, dtype=np.float32)

  def mix(index):
    return mixup(images_, labels_, tf.stack([3, index]), alpha=0.2)

  images_, labels_ = tf.constant(images), tf.constant(labels)
  data = tf.data.Dataset.range(6).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
  in_data = [*data.as_numpy_iterator()]
  tf.random.set_seed(1)
  for index in reversed(range(6)):
    mixed = _mixed(images, 0.2, index)
    for ours, theirs in zip(mixed, in_data[index], strict=True):
      np.testing.assert_array_equal(ours, theirs)
  assert len({images.tobytes() for images, _ in in_data}) == 6


def test_labels_need_not_be_one_hot():
  images = _images(8)
  smooth = np.full([8, 8], 0.1 / 8, np.float32) + 0.9 * np.eye(8)
  _, labels = _mixed(images)
  _, received = mixup(
      tf.constant(images), tf.constant(smooth, tf.float32), _seed(), alpha=1.0
  )
  np.testing.assert_allclose(received, 0.9 * labels + 0.1 / 8, atol=1e-6)


@pytest.mark.parametrize("batch", [None, 1, 8])
def test_shapes_are_as_known_as_before(batch):
  specs = [
      tf.TensorSpec([batch, 5, 4, 3], tf.float32),
      tf.TensorSpec([batch, 8], tf.float32),
      tf.TensorSpec([2], tf.int64),
  ]
  function = tf.function(
      lambda images, labels, seed: mixup(images, labels, seed, alpha=0.2),
      input_signature=specs,
      autograph=False,
  )
  images, labels = function.get_concrete_function().structured_outputs
  assert images.shape.as_list() == [batch, 5, 4, 3]
  assert labels.shape.as_list() == [batch, 8]
  size = batch or 8
  inputs = tf.constant(_images(size)), tf.eye(size, 8)
  expected = mixup(*inputs, _seed(), alpha=0.2)
  for ours, theirs in zip(function(*inputs, _seed()), expected, strict=True):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("alpha", [0, -0.2, float("inf"), float("nan")])
def test_alpha_that_is_not_positive_and_finite_is_refused(alpha):
  with pytest.raises(ValueError, match=f"alpha.*Received: {alpha}"):
    _mixed(_images(4), alpha)


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("images", (4, 4, 3), tf.float32),
        ("images", (4, 5, 4, 3), tf.uint8),
        ("labels", (4,), tf.float32),
        ("labels", (4, 8), tf.int32),
    ],
)
def test_batches_of_another_type_or_rank_are_refused(name, shape, dtype):
  batch = {"images": tf.zeros([4, 5, 4, 3]), "labels": tf.zeros([4, 8])}
  batch[name] = tf.zeros(shape, dtype)
  with pytest.raises(ValueError, match=f"{name}.*Received: {dtype.name}"):
    mixup(**batch, seed=_seed(), alpha=0.2)
