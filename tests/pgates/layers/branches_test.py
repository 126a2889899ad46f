"""Tests of `pgates.layers.branches`."""

import keras
import numpy as np
import pytest

import pgates
from pgates.layers import branches


def test_torch_padding_shifts_no_pixel_at_stride_two():
  layers = branches.conv(1, 3, strides=2)
  model = keras.Sequential(layers)
  image = np.arange(36, dtype=np.float32).reshape(1, 6, 6, 1)
  model(image)
  kernel = np.arange(9, dtype=np.float32).reshape(3, 3, 1, 1)
  model.layers[-1].kernel.assign(kernel)
  padded = np.pad(image[0, :, :, 0], 1)
  expected = [
      [
          np.sum(padded[i : i + 3, j : j + 3] * kernel[:, :, 0, 0])
          for j in (0, 2, 4)
      ]
      for i in (0, 2, 4)
  ]
  np.testing.assert_allclose(model(image)[0, :, :, 0], expected, rtol=1e-6)


def _layers_of(branch):
  return [
      (layer.name, layer.kernel_size, layer.strides, layer.filters)
      for layer in branch.layers
      if isinstance(layer, keras.layers.Conv2D)
  ]


def test_branches_are_those_of_torchvision():
  one, three = (1, 1), (3, 3)
  assert _layers_of(branches.basic_branch(8, strides=2)) == [
      ("conv1", three, (2, 2), 8),
      ("conv2", three, one, 8),
  ]
  assert _layers_of(branches.bottleneck_branch(8, strides=2)) == [
      ("conv1", one, one, 8),
      ("conv2", three, (2, 2), 8),
      ("conv3", one, one, 32),
  ]
  assert _layers_of(branches.projection_shortcut(8, strides=2)) == [
      ("conv", one, (2, 2), 8)
  ]


@pytest.mark.parametrize("synchronized", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        branches.basic_branch,
        branches.bottleneck_branch,
        branches.projection_shortcut,
    ],
)
def test_branches_synchronize_all_their_norms(make, synchronized):
  norms = [
      layer
      for layer in make(8, synchronized=synchronized).layers
      if isinstance(layer, keras.layers.BatchNormalization)
  ]
  assert norms
  for norm in norms:
    assert isinstance(norm, pgates.BatchNormalization)
    assert norm.synchronized == synchronized
