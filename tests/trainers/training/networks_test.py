"""Tests of `trainers.training.networks`."""

import dataclasses
import types

import keras
import numpy as np
import pytest

import pgates
from tests.helpers import parameters
from tests.helpers import training_runs
from trainers.training import networks


def _network(*arguments):
  config = training_runs.config("--network=cifar_resnet8", *arguments)
  return networks.build_network(config, image_shape=(8, 8, 1), num_classes=10)


def _gates(model):
  return [block.gate for block in pgates.gated_blocks(model)]


def _images():
  return np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1))


@pytest.mark.parametrize(
    "network, num_blocks",
    parameters.slow_after(1, [("cifar_resnet14", 6), ("resnet50", 16)]),
)
def test_network_is_the_one_of_the_name(network, num_blocks):
  config = training_runs.config(f"--network={network}")
  model = networks.build_network(config, image_shape=(32, 32, 3), num_classes=7)
  assert model.name == network
  assert model.input_shape == (None, 32, 32, 3)
  assert model.output["logits"].shape == (None, 7)
  assert len(_gates(model)) == num_blocks


@pytest.mark.parametrize(
    "gate, kind",
    [
        ("dependent", pgates.DataDependentGate),
        ("independent", pgates.DataIndependentGate),
        ("stochastic_depth", pgates.StochasticDepthGate),
        ("none", type(None)),
    ],
)
def test_gates_are_of_the_kind_asked_for(gate, kind):
  model = _network(f"--gate={gate}", "--always_open=1")
  kinds = [kind, type(None), kind]
  assert [type(gate) for gate in _gates(model)] == kinds


@pytest.mark.parametrize(
    "arguments, probability",
    [
        (["--gate=dependent"], 0.87),
        (["--gate=independent"], 0.98),
        (["--init_from=runs/plain"], 0.95),
        (["--init_from=runs/plain", "--initial_probability=0.3"], 0.3),
    ],
)
def test_gates_on_trained_weights_start_open(arguments, probability):
  for gate in _gates(_network(*arguments)):
    assert gate.initial_probability == pytest.approx(probability, abs=5e-3)


@pytest.mark.parametrize(
    "gate", parameters.slow_after(1, ["dependent", "independent"])
)
def test_options_reach_the_gates(gate):
  model = _network(
      f"--gate={gate}", "--temperature=0.5", "--initial_probability=0.25"
  )
  for layer in _gates(model):
    assert layer.temperature == 0.5
    assert float(layer.current_temperature) == 0.5
    assert layer.initial_probability == 0.25


def test_initial_probability_is_that_of_the_kind_unless_given():
  assert _gates(_network())[0].initial_probability == 0.87
  gate = _gates(_network("--gate=independent"))[0]
  assert gate.initial_probability == 0.98


@pytest.mark.parametrize(
    "normalization, expected",
    parameters.slow_but(
        [("imagenet", [1 / 255 / 0.229])],
        [("unit", [1 / 255]), ("none", None), ("imagenet", [1 / 255 / 0.229])],
    ),
)
def test_images_are_normalised(normalization, expected):
  config = training_runs.config(f"--normalization={normalization}")
  model = networks.build_network(config, image_shape=(8, 8, 3), num_classes=10)
  layers = [x for x in model.layers if isinstance(x, keras.layers.Rescaling)]
  scales = [np.ravel(layer.scale)[0] for layer in layers]
  np.testing.assert_allclose(scales, expected or [], rtol=1e-6)


@pytest.mark.parametrize("switch", ["--sync_batch_norm", "--nosync_batch_norm"])
def test_batch_norms_are_synchronised_as_asked_for(switch):
  model = _network(switch)
  assert model.get_layer("stem_bn").synchronized == (switch[2:4] == "sy")
  assert _gates(model)[0].synchronized == (switch[2:4] == "sy")


def test_noise_of_the_gates_is_seeded():
  def states(*arguments):
    gates = _gates(_network(*arguments))
    return [np.asarray(g.seed_generator.state).tolist() for g in gates]

  assert states("--seed=3") == states("--seed=3")
  assert states("--seed=3") != states("--seed=4")
  assert len({tuple(state) for state in states()}) == 3


def _replaced(**settings):
  return dataclasses.replace(training_runs.config(), **settings)


def test_target_of_one_in_a_list_makes_the_block_always_open():
  config = _replaced(
      rate_loss="per_layer", target_rates=[1, 0.7, 1.0], always_open=[1]
  )
  assert networks.always_open_blocks(config) == [0, 1, 2]


def test_single_target_of_one_keeps_the_gates():
  config = _replaced(target_rates=[1.0], always_open=[2, 0])
  assert networks.always_open_blocks(config) == [0, 2]


def test_network_of_keras_takes_its_arguments_and_the_settings_of_gates():
  config = training_runs.config(
      *("--network=MobileNetV2", "--network_args=alpha=0.35"),
      *("--gate=independent", "--temperature=0.5", "--always_open=0"),
  )
  model = networks.build_network(
      config, image_shape=(32, 32, 1), num_classes=10
  )
  assert model.get_layer("Conv1").filters == 16
  assert model.output["logits"].shape == (None, 10)
  first, *others = _gates(model)
  assert first is None and {gate.temperature for gate in others} == {0.5}


def test_teacher_is_the_one_asked_for(tmp_path, monkeypatch):
  monkeypatch.setattr(networks, "build_network", training_runs.dense_network)
  teacher = training_runs.dense_network(training_runs.config("--gate=none"))
  teacher.save(tmp_path / "model.keras")
  dataset = types.SimpleNamespace(image_shape=(8, 8, 1), num_classes=10)
  found = [
      networks.make_model(
          training_runs.config("--gate=none", *arguments),
          dataset,
          steps_per_epoch=4,
      ).distillation
      for arguments in ([], [f"--distill_from={tmp_path}"])
  ]
  assert found[0] is None and found[1].weight == 0.9
  received = found[1].teacher.get_weights()
  for ours, theirs in zip(received, teacher.get_weights(), strict=True):
    np.testing.assert_array_equal(ours, theirs)
