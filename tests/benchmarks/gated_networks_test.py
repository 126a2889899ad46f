"""Tests of `benchmarks.gated_networks`."""

import numpy as np
import pytest

from benchmarks import gated_networks
import pgates
from tests.helpers import gated_networks as small_networks

NUM_IMAGES = 40


@pytest.fixture(scope="module")
def images():
  return gated_networks.random_images((8, 8, 3), NUM_IMAGES)


@pytest.fixture(scope="module")
def model(images):
  network = small_networks.resnet()
  gated_networks.spread_gates(network, images)
  return network


def _norms(model):
  """Variables of batch norms, by their name without the path."""
  norms = {"gamma": [], "moving_variance": [], "beta": [], "moving_mean": []}
  for variable, values in zip(model.weights, model.get_weights(), strict=True):
    norms.get(variable.path.rpartition("/")[2], []).append(values)
  return norms


def test_random_images_differ_in_contrast_and_colour():
  images = gated_networks.random_images((32, 24, 3), 200, seed=1)
  assert (images.shape, images.dtype) == ((200, 32, 24, 3), np.float32)
  assert images.min() >= 0 and images.max() <= 255
  # Uniform noise from 0 to a limit between 25.5 and 255, by image and channel:
  # of n values, the largest is a share 1 / n below the limit.
  limits = images.max(axis=(1, 2)) * (1 + 1 / (32 * 24))
  means = images.mean(axis=(1, 2))
  error = limits / np.sqrt(12 * 32 * 24)
  assert (np.abs(means - limits / 2) < 5 * error).all()
  assert limits.min() > 25 and limits.max() < 256
  # The limits are uniform: quantiles, each to five standard errors.
  for share in (0.25, 0.5, 0.75):
    below = np.mean(limits < 255 * (0.1 + 0.9 * share))
    assert abs(below - share) < 5 * np.sqrt(share * (1 - share) / limits.size)
  # Colours: each channel has a limit of its own.
  correlations = np.corrcoef(limits, rowvar=False)[np.triu_indices(3, 1)]
  assert np.abs(correlations).max() < 5 / np.sqrt(len(limits))


def test_random_images_depend_on_the_seed():
  one, same, other = (
      gated_networks.random_images((4, 4, 1), 2, seed=seed)
      for seed in (1, 1, 2)
  )
  np.testing.assert_array_equal(one, same)
  assert (one != other).any()


def test_logits_of_every_gate_have_mean_zero_and_deviation_one(model, images):
  # Behind the gates that the spreading opens.
  decided = pgates.with_strategy(model, "threshold:0.4")
  logits = decided.predict(images, verbose=0)["gate_logits"]
  assert logits.shape == (NUM_IMAGES, 3)
  np.testing.assert_allclose(logits.mean(axis=0), 0, atol=1e-3)
  np.testing.assert_allclose(logits.std(axis=0), 1, atol=1e-3)


def test_gates_are_spread_in_directions_of_the_seed(model, images):
  def spread(seed):
    network = small_networks.resnet()
    gated_networks.spread_gates(network, images, seed=seed)
    return [
        np.ravel(block.gate.logit.kernel)
        for block in pgates.gated_blocks(network)
    ]

  first = [
      np.ravel(block.gate.logit.kernel) for block in pgates.gated_blocks(model)
  ]
  for kernel, same, other in zip(first, spread(0), spread(1), strict=True):
    np.testing.assert_array_equal(kernel, same)
    # The cosine of random directions of 16 dimensions deviates by 1/4 from 0.
    cosine = kernel @ other / np.linalg.norm(kernel) / np.linalg.norm(other)
    assert abs(cosine) < 0.95


def test_spreading_changes_gates_alone(images):
  network = small_networks.resnet()
  before = network.get_weights()
  gated_networks.spread_gates(network, images)
  changed = [
      variable.path
      for variable, old, new in zip(
          network.weights, before, network.get_weights(), strict=True
      )
      if (old != new).any()
  ]
  assert len(changed) == 2 * 3
  logits = [block.gate.logit.path for block in pgates.gated_blocks(network)]
  assert all(path.startswith(tuple(logits)) for path in changed)


def test_batch_norms_are_neutral_no_more():
  network = pgates.CifarResNet(8, input_shape=(8, 8, 3))
  fresh = network.get_weights()
  assert all((values == 1).all() for values in _norms(network)["gamma"])
  gated_networks.randomize_batch_norms(network, seed=1)
  norms = _norms(network)
  # Of the stem, three branches of two, two shortcuts and three gates.
  assert {len(values) for values in norms.values()} == {12}
  for name, values in norms.items():
    values = np.concatenate(values)
    assert len(np.unique(values)) == len(values)
    if name in ("gamma", "moving_variance"):
      assert values.min() >= 0.5 and values.max() <= 1
      mean, deviation = 0.75, 0.5 / np.sqrt(12)
    else:
      mean, deviation = 0, 0.1
    # Five standard errors, of the mean and (for normal values) the deviation.
    error = deviation / np.sqrt(len(values))
    assert abs(values.mean() - mean) < 5 * error
    assert abs(values.std() - deviation) < 5 * error
  for variable, old, new in zip(
      network.weights, fresh, network.get_weights(), strict=True
  ):
    is_kept = variable.path.rpartition("/")[2] not in norms
    assert (old == new).all() == is_kept


def test_batch_norms_depend_on_the_seed():
  networks = []
  for seed in (1, 1, 2):
    network = pgates.CifarResNet(8, input_shape=(8, 8, 3))
    gated_networks.randomize_batch_norms(network, seed=seed)
    networks.append(np.concatenate(_norms(network)["beta"]))
  one, same, other = networks
  np.testing.assert_array_equal(one, same)
  assert (one != other).all()


def _share(model, images, threshold):
  """The executed share of the multiply-adds that gates can save."""
  decided = pgates.with_strategy(model, f"threshold:{threshold}")
  gates = decided.predict(images, verbose=0)["gates"]
  branches = np.array(model.macs.branches)
  return np.mean(gates @ branches) / branches.sum()


@pytest.mark.parametrize(
    "rate", [pytest.param(0.75, marks=pytest.mark.slow), 0.4]
)
def test_threshold_spends_the_rate_of_what_gates_can_save(model, images, rate):
  threshold = gated_networks.threshold_of_rate(model, images, rate)
  branches = np.array(model.macs.branches)
  # A decision of the largest branch; others follow from it.
  step = branches.max() / branches.sum() / NUM_IMAGES
  share = _share(model, images, threshold)
  assert rate - 3 * step < share <= rate


@pytest.mark.parametrize(
    "rate", [0.0, pytest.param(1.0, marks=pytest.mark.slow)]
)
def test_rate_one_opens_all_gates_and_zero_none(model, images, rate):
  threshold = gated_networks.threshold_of_rate(model, images, rate)
  assert _share(model, images, threshold) == rate
