"""Tests of pgates/costs/branch_times.py."""

import itertools

import keras
import pytest
import tensorflow as tf

import pgates
from tests.helpers import toys


class Clock:

  def __init__(self):
    self.now, self.runs = 0.0, []

  def __call__(self):
    return self.now


class Ticking(keras.layers.Layer):
  """A branch that moves a clock on by itself and notes its runs."""

  def __init__(self, seconds, clock, **kwargs):
    super().__init__(**kwargs)
    self.seconds, self.clock = seconds, clock

  def call(self, inputs, training=None):
    def tick(values):
      self.clock.now += self.seconds * len(values)
      self.clock.runs.append((values.shape, training))
      return values

    outputs = tf.numpy_function(tick, [inputs], inputs.dtype)
    return tf.ensure_shape(outputs, inputs.shape)

  def compute_output_shape(self, input_shape):
    return input_shape


def _model(seconds, clock, shape=(toys.FEATURES,)):
  inputs = x = keras.Input(shape)
  decisions = []
  for each in seconds:
    branch = None if each is None else Ticking(each, clock)
    x, *decision = pgates.GatedResidual(branch, macs=1)(x)
    decisions.append(decision)
  outputs = pgates.gated_outputs(x, *zip(*decisions, strict=True))
  return pgates.GatedModel(inputs, outputs)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_it_is_the_time_of_the_branch_alone(batch_size):
  clock = Clock()
  model = _model([0.25, None, 2.0], clock)
  found = pgates.branch_times(
      model, batch_size=batch_size, repeats=4, clock=clock
  )
  assert found == [0.25 * batch_size, 0.0, 2.0 * batch_size]
  assert {training for _, training in clock.runs} == {False}
  assert {shape for shape, _ in clock.runs} == {(batch_size, toys.FEATURES)}


def test_it_is_the_median_of_the_rounds_that_count():
  # Rounds of 1, 2, 3, ... seconds; the first ones do not count.
  rounds = itertools.count(1)
  clock = (t for n in rounds for t in (0.0, float(n)))
  model = toys.make_model([toys.independent(0.4)])
  first = pgates.branch_times(model, repeats=1, clock=lambda: next(clock))
  assert first[0] > 1
  (later,) = pgates.branch_times(model, repeats=5, clock=lambda: next(clock))
  assert later == first[0] + first[0] + 2


def test_each_call_and_nested_model_has_its_time():
  _, nested = toys.nested_model([toys.independent(1.0) for _ in range(3)])
  found = pgates.branch_times(nested, repeats=2)
  assert len(found) == 3
  assert min(found) > 0


def test_a_larger_branch_takes_longer():
  inputs = x = keras.Input((512,))
  decisions = []
  for width in (8, 16384):
    branch = keras.Sequential(
        [keras.layers.Dense(width), keras.layers.Dense(512)]
    )
    x, *decision = pgates.GatedResidual(branch)(x)
    decisions.append(decision)
  outputs = pgates.gated_outputs(x, *zip(*decisions, strict=True))
  small, large = pgates.branch_times(pgates.GatedModel(inputs, outputs))
  assert 0 < small < large


def test_open_sizes_are_refused():
  model = _model([1.0], Clock(), shape=(None,))
  with pytest.raises(ValueError, match="fixed sizes.*gated_residual"):
    pgates.branch_times(model)
