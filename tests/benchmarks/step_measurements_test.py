"""Tests of `benchmarks.step_measurements`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import kernel_times
from benchmarks import step_measurements
from benchmarks import train_step
import pgates

SIZES = {"network": "cifar_resnet8", "image_size": 8}


@pytest.fixture(name="models")
def _models(monkeypatch):
  """The models that are made, by kind of gate and rate loss."""
  make, made = step_measurements.make_model, {}

  def kept(network, *, gate, rate_loss, image_size):
    model = make(network, gate=gate, rate_loss=rate_loss, image_size=image_size)
    made[gate, rate_loss] = model
    return model

  monkeypatch.setattr(step_measurements, "make_model", kept)
  return made


def _weights(model):
  return {v.path: v.numpy() for v in model.trainable_variables}


@pytest.mark.slow
def test_each_time_is_that_of_one_step_of_its_network(models):
  def clock():
    gated, ungated = models["dependent", True], models["none", False]
    steps = [int(m.optimizer.iterations) for m in (gated, ungated)]
    return 1000.0 * steps[0] + steps[1]

  result = step_measurements.step_times(
      train_step.GATING, repeats=3, warmup=1, clock=clock, batch_size=4, **SIZES
  )
  assert result["gated"]["quartiles_ms"] == [1e6, 1e6]
  assert result["ungated"]["quartiles_ms"] == [1e3, 1e3]
  assert result["gated"]["ratio"] == 1000 and result["ungated"]["ratio"] == 1
  assert clock() == 4004  # A round of warm-up, and three.


@pytest.mark.slow
def test_a_step_trains_every_weight_and_the_rate(models):
  step = step_measurements.make_step(
      gate="dependent", rate_loss=True, batch_size=8, **SIZES
  )
  model = models["dependent", True]
  before = _weights(model)
  logs = step()
  for path, value in _weights(model).items():
    assert np.any(value != before[path]), path
  assert any("/gate/" in path for path in before)
  # Of three gates and eight images.
  expected = (logs["open_rate"] - 0.7) ** 2
  assert logs["rate_loss"] == pytest.approx(expected, rel=1e-4)
  assert logs["task_loss"] > 0


def test_the_references_lack_gates_and_rate_loss(models):
  for candidates, gated in (
      (train_step.GATING, False),
      (train_step.RATE_LOSS, True),
  ):
    with_it, without = candidates.values()
    assert with_it == {"gate": "dependent", "rate_loss": True}
    model = step_measurements.make_model(**without, **SIZES)
    blocks = pgates.gated_blocks(model)
    assert [block.gate is not None for block in blocks] == [gated] * 3
    assert model.rate_loss is None
  assert len(models) == 2


@pytest.mark.slow
def test_replicas_share_the_batch(models, monkeypatch):
  one_step, seen = pgates.GatedModel.train_step, []

  def spied(self, data):
    context = tf.distribute.get_replica_context()
    replica = int(tf.get_static_value(context.replica_id_in_sync_group))
    seen.append((self.rate_loss is not None, replica, data[0].shape[0]))
    return one_step(self, data)

  monkeypatch.setattr(pgates.GatedModel, "train_step", spied)
  sizes = {"num_replicas": 2, "batch_size": 8, **SIZES}
  result = step_measurements.step_times(
      train_step.RATE_LOSS, repeats=1, warmup=0, **sizes
  )
  assert list(result) == ["with_rate_loss", "without_rate_loss"]
  expected = {(loss, i, 4) for loss in (True, False) for i in range(2)}
  assert set(seen) == expected
  for model in models.values():
    assert model.distribute_strategy.num_replicas_in_sync == 2


def test_one_op_at_a_time_is_profiled_after_two_steps(monkeypatch):
  calls = []

  def make_step(**arguments):
    calls.append(arguments)
    return lambda: calls.append("step")

  def traced(step, *, num_steps):
    calls.append(num_steps)
    step()
    return "trace"

  monkeypatch.setattr(
      tf.config.threading, "set_inter_op_parallelism_threads", calls.append
  )
  monkeypatch.setattr(step_measurements, "make_step", make_step)
  monkeypatch.setattr(kernel_times, "traced", traced)
  assert step_measurements.profile(num_steps=7, gate="none") == "trace"
  # TensorFlow refuses the number of threads once it has run.
  assert calls == [1, {"gate": "none"}, "step", "step", 7, "step"]


@pytest.mark.slow
def test_memory_is_that_of_a_process_with_one_network():
  ballast = np.ones(2 * 10**9, np.uint8)  # Of the parent, not to be counted.
  small, large = (
      step_measurements.in_fresh_process(
          step_measurements.memory,
          num_steps=1,
          batch_size=batch_size,
          gate="none",
          rate_loss=False,
          **SIZES,
      )
      for batch_size in (2, 4096)
  )
  for found in (small, large):
    assert found["before"] < found["peak"] < ballast.nbytes
    assert found["training"] == found["peak"] - found["before"]
  # Of each activation of the first stage alone: batch norm's and its input.
  activations = 4096 * 8 * 8 * 16 * 4 * (2 * 3)
  assert large["training"] - small["training"] > activations
  assert abs(large["before"] - small["before"]) < 5e7
