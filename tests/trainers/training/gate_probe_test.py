"""Tests of `trainers.training.gate_probe`."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import gated_networks
from trainers.training import gate_probe

NUM = 20


def _batches(images):
  pair = (images, np.arange(len(images)))
  return tf.data.Dataset.from_tensor_slices(pair).batch(8)


def test_sample_is_what_the_network_decides_of_all_examples():
  model, images = gated_networks.resnet(), gated_networks.images(NUM)
  probe = gate_probe.GateProbe(model, _batches(images))
  for _ in range(2):
    outputs = model.predict(images, verbose=0)
    probabilities, gates = probe.sample()
    np.testing.assert_allclose(
        probabilities, 1 / (1 + np.exp(-outputs["gate_logits"])), rtol=1e-4
    )
    np.testing.assert_array_equal(gates, outputs["gates"] == 1)
    # The network as it is then, not as it was.
    for variable in model.trainable_variables:
      variable.assign(variable + 0.1)
  np.testing.assert_array_equal(probe.labels, np.arange(NUM))


def test_only_so_many_examples_are_kept_as_fit(monkeypatch):
  images = gated_networks.images(NUM)
  monkeypatch.setattr(gate_probe, "_BYTES", 5 * images[0].nbytes)
  probe = gate_probe.GateProbe(gated_networks.resnet(), _batches(images))
  np.testing.assert_array_equal(probe.labels, np.arange(5))
  monkeypatch.setattr(gate_probe, "_MOST", 3)
  probe = gate_probe.GateProbe(gated_networks.resnet(), _batches(images))
  np.testing.assert_array_equal(probe.labels, np.arange(3))


def test_one_example_is_kept_however_large(monkeypatch):
  monkeypatch.setattr(gate_probe, "_BYTES", 1)
  probe = gate_probe.GateProbe(
      gated_networks.resnet(), _batches(gated_networks.images(NUM))
  )
  assert len(probe.labels) == 1


def test_probe_of_nothing_is_refused():
  nothing = _batches(gated_networks.images(NUM)).take(0)
  with pytest.raises(ValueError, match="Not one of the validation images"):
    gate_probe.GateProbe(gated_networks.resnet(), nothing)
