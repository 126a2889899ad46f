"""Tests of pgates/training/callbacks.py."""

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import parameters

TARGET = 0.25
IMAGES = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
LABELS = np.arange(24) % 3


def compiled_model(**kwargs):
  """Two gates that are open all but once in 20,000 draws, and no gate."""
  inputs = keras.Input((4,))
  x, gates, logits = inputs, [], []
  for probability in (0.99995, 0.99995, None):
    gate = probability and pgates.DataIndependentGate(
        initial_probability=probability, seed=len(gates)
    )
    block = pgates.GatedResidual(keras.layers.Dense(4), gate=gate)
    x, z, logit = block(x)
    gates.append(z)
    logits.append(logit)
  outputs = pgates.gated_outputs(keras.layers.Dense(3)(x), gates, logits)
  model = pgates.GatedModel(inputs, outputs)
  model.compile(
      pgates.CoupledSGD(1.0),
      rate_loss=pgates.TargetRateLoss(TARGET),
      **kwargs,
  )
  return model


def gates_of(model):
  blocks = pgates.gated_blocks(model)
  return [block.gate for block in blocks if block.gate is not None]


class Record(keras.callbacks.Callback):
  """Temperatures and logits after each step."""

  def __init__(self):
    super().__init__()
    self.temperatures, self.logits = [], []

  def on_train_batch_end(self, batch, logs=None):
    gates = gates_of(self.model)
    self.temperatures.append([float(g.current_temperature) for g in gates])
    self.logits.append([float(g.logit) for g in gates])


def fit(model, schedule, **kwargs):
  record = Record()
  model.fit(
      IMAGES,
      LABELS,
      # No weight on labels: only the rate moves the gates.
      sample_weight=np.zeros(24),
      batch_size=8,
      verbose=0,
      callbacks=[pgates.TemperatureSchedule(schedule), record],
      **kwargs,
  )
  return record


def test_temperature_follows_the_schedule_over_epochs():
  model = compiled_model()
  record = fit(model, lambda step: 2.0 + step, epochs=2)
  assert record.temperatures == [[2.0 + step] * 2 for step in range(6)]
  assert all(gate.temperature == 1.0 for gate in gates_of(model))


def test_traced_training_step_feels_the_temperature():
  model = compiled_model()
  before = [float(gate.logit) for gate in gates_of(model)]
  temperatures = [1e3, 4e3, 5e2, 2e3, 1e3, 8e3]
  record = fit(model, lambda step: temperatures[step], epochs=2)
  # Hot, sigmoid(location / temperature) has the slope 1 / (4 * temperature)
  # everywhere; the open rate is 1, of which each block has a third.
  steps = -np.diff([before, *record.logits], axis=0)
  expected = 2 * (1 - TARGET) / 3 / (4 * np.array(temperatures))
  # The logits near 10 keep seven digits; steps of 3e-5 to 1e-3 fewer.
  np.testing.assert_allclose(steps[:, 0], expected, rtol=1e-3, atol=2e-6)
  np.testing.assert_allclose(steps[:, 1], expected, rtol=1e-3, atol=2e-6)


def test_schedule_may_be_one_of_keras():
  schedule = keras.optimizers.schedules.ExponentialDecay(4.0, 1, 0.5)
  record = fit(compiled_model(), schedule)
  np.testing.assert_allclose(
      record.temperatures, [[4.0] * 2, [2.0] * 2, [1] * 2]
  )


def test_schedule_continues_where_training_stopped():
  model = compiled_model()
  fit(model, lambda step: 2.0 + step)
  record = fit(model, lambda step: 2.0 + step)
  assert record.temperatures == [[5.0] * 2, [6.0] * 2, [7.0] * 2]


def test_temperature_is_that_of_the_first_step_of_an_execution():
  model = compiled_model(steps_per_execution=2)
  record = fit(model, lambda step: 2.0 + step)
  assert record.temperatures == [[2.0] * 2, [4.0] * 2]


@pytest.mark.parametrize(
    "value", [0.0, *parameters.slow_after(0, [-1.0, float("nan")])]
)
def test_temperature_that_is_not_positive_is_refused(value):
  schedule = lambda step: 1.0 if step < 2 else value  # noqa: E731
  with pytest.raises(ValueError, match=f"positive.*{value} at step 2"):
    fit(compiled_model(), schedule)
