"""Tests of `pgates.inference.ensembles`."""

import keras
import numpy as np
import pytest

import pgates
from pgates.inference import ensembles
from pgates.inference import ruled_models
from tests.helpers import toys


@pytest.mark.parametrize("execution", ["masked", "routed"])
def test_ensemble_averages_separate_sampled_passes(execution):
  model = toys.mixed_model()
  ensemble = ensembles.ensemble(model, 4, execution=execution)
  sampled = ruled_models.with_rule(model, "sampled", execution=execution)
  pgates.seed_gates(model, 7)
  received = ensemble(toys.examples(30))
  pgates.seed_gates(model, 7)
  passes = [sampled(toys.examples(30)) for _ in range(4)]

  gates = np.concatenate([p["gates"] for p in passes], axis=1)
  assert received["gates"].shape == (30, 4 * 5)
  np.testing.assert_array_equal(received["gates"], gates)
  np.testing.assert_allclose(
      received["gate_logits"],
      np.concatenate([p["gate_logits"] for p in passes], axis=1),
      atol=1e-5,
  )
  probabilities = np.exp([toys.log_softmax(p["logits"]) for p in passes])
  np.testing.assert_allclose(
      np.exp(received["logits"]), np.mean(probabilities, axis=0), atol=1e-5
  )
  np.testing.assert_allclose(
      np.sum(np.exp(received["logits"]), -1), 1, atol=1e-5
  )
  first = np.argmax(probabilities, axis=-1)
  votes = np.mean(first[..., None] == np.arange(toys.CLASSES), axis=0)
  np.testing.assert_allclose(received["votes"], votes, atol=1e-6)
  assert len(np.unique(votes)) > 2  # Passes that differ.
  executed = sum(model.macs.executed(p["gates"]) for p in passes)
  np.testing.assert_array_equal(
      ensemble.macs.executed(received["gates"]), executed
  )


def test_ensemble_of_one_pass_is_sampled():
  model = toys.mixed_model()
  outputs = []
  for derived in (
      ensembles.ensemble(model, 1),
      ruled_models.with_rule(model, "sampled"),
  ):
    pgates.seed_gates(model, 1)
    outputs.append(derived(toys.examples()))
  np.testing.assert_array_equal(outputs[0]["gates"], outputs[1]["gates"])
  np.testing.assert_allclose(
      outputs[0]["logits"], toys.log_softmax(outputs[1]["logits"]), atol=1e-5
  )


def test_ensemble_survives_a_keras_file(tmp_path):
  derived = pgates.with_strategy(toys.mixed_model(), "ensemble:3")
  derived.save(tmp_path / "model.keras")
  loaded = keras.models.load_model(tmp_path / "model.keras")
  outputs = []
  for model in (derived, loaded):
    pgates.seed_gates(model, 5)
    outputs.append(model(toys.examples()))
  toys.assert_outputs(outputs[1], outputs[0], atol=1e-6)
  np.testing.assert_array_equal(outputs[1]["votes"], outputs[0]["votes"])
