"""Tests of `benchmarks.routed_training`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import routed_training
from file_io import artifacts
import pgates
from pgates.layers import executions
from tests.helpers import result_shapes
from tests.helpers import training_runs
from trainers.training import networks

_GATES = np.array([1.0, 0.0, 0.0, 1.0, 1.0], np.float32)
_WEIGHTS = np.array([[2.0, -1.0], [0.5, 3.0]], np.float32)


def _gradients(way, gates=_GATES):
  """Outputs, and gradients of inputs, branch weights and gates."""
  inputs = tf.constant(np.arange(10, dtype=np.float32).reshape(5, 2))
  weights, z = tf.Variable(_WEIGHTS), tf.constant(gates)
  with tf.GradientTape() as tape, routed_training.computing(way):
    tape.watch([inputs, z])
    outputs = executions.masked(lambda x: x @ weights, inputs, inputs, z)
    loss = tf.reduce_sum(outputs**2)
  found = tape.gradient(
      loss, [inputs, weights, z], unconnected_gradients="zero"
  )
  return outputs.numpy(), [tf.convert_to_tensor(g).numpy() for g in found]


@pytest.mark.parametrize("gates", [_GATES, np.ones(5), np.zeros(5)])
def test_outputs_and_gradients_are_those_of_masking(gates):
  gates = gates.astype(np.float32)
  outputs, (inputs, weights, z) = _gradients("routed", gates)
  expected, (of_inputs, of_weights, of_z) = _gradients("masked", gates)
  np.testing.assert_allclose(outputs, expected, rtol=1e-6)
  np.testing.assert_allclose(inputs, of_inputs, rtol=1e-5)
  np.testing.assert_allclose(weights, of_weights, rtol=1e-5)
  # But for the gates that are closed, whose branch is not known.
  np.testing.assert_allclose(z, np.where(gates > 0, of_z, 0), rtol=1e-5)


def test_closed_examples_are_not_computed():
  seen = []

  def branch(x):
    seen.append(x.shape[0])
    return x

  inputs = tf.ones([5, 2])
  for way in routed_training.WAYS:
    with routed_training.computing(way):
      executions.masked(branch, inputs, inputs, tf.constant(_GATES))
  assert seen == [5, 3]
  executions.masked(branch, inputs, inputs, tf.constant(_GATES))
  assert seen[2:] == [5]  # As before, outside.


@pytest.mark.slow
def test_each_seed_is_trained_both_ways(tmp_path, data_dir, monkeypatch):
  monkeypatch.setattr(networks, "build_network", training_runs.dense_network)
  ways = []

  def spy(branch, *args, **kwargs):
    ways.append("routed")
    return original(branch, *args, **kwargs)

  original = routed_training._masked_is_routed
  monkeypatch.setattr(routed_training, "_masked_is_routed", spy)

  def settings(seed):
    return training_runs.config(
        "--batch_size=512", f"--data_dir={data_dir}", f"--seed={seed}"
    )

  arguments = (settings, tmp_path)
  found = routed_training.train_both_ways(*arguments, num_seeds=2)
  assert [len(rows) for rows in found.values()] == [2, 2] and ways
  for way in routed_training.WAYS:
    for seed in range(2):
      folder = tmp_path / way / f"seed{seed}"
      value = artifacts.read_json(folder / "evaluation.json")
      config = artifacts.read_json(folder / "config.json")
      assert config["settings"]["seed"] == seed
      decided = value["strategies"]["map"]
      assert found[way][seed]["accuracy"] == decided["accuracy"]
  assert found["masked"] != found["routed"]
  committed = result_shapes.committed("routed_training.json")
  assert result_shapes.shape(found) == result_shapes.shape(committed["runs"])
  differences = routed_training.differences(found)
  assert result_shapes.shape(differences) == result_shapes.shape(
      committed["routed_minus_masked"]
  )
  # What is finished is only read again.
  monkeypatch.setattr(routed_training.training, "run", None)
  assert routed_training.train_both_ways(*arguments, num_seeds=2) == found


def test_differences_are_paired_by_seed():
  found = {
      "masked": [{"accuracy": 0.5}, {"accuracy": 0.9}],
      "routed": [{"accuracy": 0.6}, {"accuracy": 1.0}],
  }
  row = routed_training.differences(found)["accuracy"]
  np.testing.assert_allclose([row["mean"], row["low"]], [0.1, 0.1])


@pytest.mark.slow
def test_steps_of_three_candidates_are_timed(monkeypatch):
  # In place of a ResNet-50.
  monkeypatch.setattr(
      pgates,
      "ResNet50",
      lambda classes, **options: pgates.CifarResNet(8, **options),
  )
  row = routed_training.step_times(
      network="resnet50", image_size=8, batch_size=4, open_rate=0.5, repeats=2
  )
  assert set(row) == {"ungated", "masked", "routed"}
  assert row["ungated"]["ratio"] == 1
