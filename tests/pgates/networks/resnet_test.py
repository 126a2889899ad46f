"""Tests of pgates/networks/resnet.py."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates
from tests.helpers import parameters

SMALL = (8, 8, 3)
KINDS = ("dependent", "independent", "stochastic_depth", "none")
# Trainable parameters of the networks of torchvision.
PARAMETERS = {
    pgates.ResNet18: 11_689_512,
    pgates.ResNet34: 21_797_672,
    pgates.ResNet50: 25_557_032,
    pgates.ResNet101: 44_549_160,
    pgates.ResNet152: 60_192_808,
}


def num_trainable(model):
  return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def images(count=3, shape=SMALL, seed=0):
  generator = np.random.default_rng(seed)
  return generator.uniform(0, 255, (count, *shape)).astype(np.float32)


def gate_layers(model):
  return [block.gate for block in pgates.gated_blocks(model)]


def assert_equal_outputs(received, expected, **tolerance):
  assert set(received) == set(expected)
  for name in received:
    np.testing.assert_allclose(
        received[name], expected[name], err_msg=name, **tolerance
    )


@pytest.mark.parametrize(
    "make",
    parameters.slow_but([pgates.ResNet18, pgates.ResNet50], PARAMETERS),
    ids=lambda f: f.__name__,
)
def test_ungated_network_has_the_published_number_of_parameters(make):
  model = make(1000, gate="none", input_shape=(32, 32, 3))
  assert num_trainable(model) == PARAMETERS[make]


# Two-logit gates cost 211,232 and 491,154; one logit saves 17 a block.
@pytest.mark.parametrize(
    "make, num_gates, two_logits",
    [
        (pgates.ResNet50, 16, 211_232),
        pytest.param(pgates.ResNet101, 33, 491_154, marks=pytest.mark.slow),
    ],
)
def test_dependent_gates_cost_what_the_reference_says(
    make, num_gates, two_logits
):
  model = make(1000, input_shape=(32, 32, 3))
  gates = num_trainable(model) - PARAMETERS[make]
  assert len(gate_layers(model)) == num_gates
  assert gates == two_logits - 17 * num_gates


@pytest.mark.slow
def test_cifar_resnet110_has_54_gates_of_one_parameter():
  model = pgates.CifarResNet(110, gate="independent", input_shape=SMALL)
  assert model.output["gates"].shape == (None, 54)
  # With shortcuts that have no parameters: 1.7 M in He et al., table 6.
  projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
  assert num_trainable(model) == 1_727_962 + projections + 54


@pytest.mark.parametrize(
    "training, kind",
    parameters.slow_but(
        [(True, "dependent"), (False, "none"), (True, "stochastic_depth")],
        itertools.product([False, True], KINDS),
    ),
)
def test_outputs_have_the_documented_shapes_and_types(kind, training):
  model = pgates.CifarResNet(14, 7, gate=kind, input_shape=SMALL)
  outputs = model(images(5), training=training)
  shapes = {name: tuple(value.shape) for name, value in outputs.items()}
  assert shapes == {"logits": (5, 7), "gates": (5, 6), "gate_logits": (5, 6)}
  assert {value.dtype for value in outputs.values()} == {tf.float32}
  assert set(np.unique(outputs["gates"])) <= {0.0, 1.0}
  assert isinstance(model, pgates.GatedModel)


def test_defaults_are_those_of_the_data_sets():
  cifar = pgates.CifarResNet(8)
  assert cifar.input_shape == (None, 32, 32, 3)
  assert cifar.output["logits"].shape == (None, 10)
  assert cifar.get_layer("normalization").offset == 0.0
  large = pgates.ResNet18(12, gate="none")
  assert large.input_shape == (None, 224, 224, 3)
  assert large.output["logits"].shape == (None, 12)
  assert len(large.get_layer("normalization").scale) == 3


def forward_by_hand(model, x, is_open):
  """Calls a CIFAR network's layers in training mode, gates given by block."""
  for name in ("normalization", "stem_conv", "stem_bn", "stem_relu"):
    kwargs = {"training": True} if name == "stem_bn" else {}
    x = model.get_layer(name)(x, **kwargs)
  for block, ran in zip(pgates.gated_blocks(model), is_open, strict=True):
    shortcut = x if block.shortcut is None else block.shortcut(x, training=True)
    branch = block.branch(x, training=True) if ran else 0.0
    x = tf.nn.relu(shortcut + branch)
  return model.get_layer("classifier")(tf.reduce_mean(x, axis=(1, 2)))


def test_ungated_network_always_runs_every_block():
  model = pgates.CifarResNet(8, gate="none", input_shape=SMALL)
  outputs = model(images(4), training=True)
  np.testing.assert_array_equal(outputs["gates"], np.ones((4, 3)))
  np.testing.assert_array_equal(outputs["gate_logits"], np.full((4, 3), 100))
  np.testing.assert_allclose(
      outputs["logits"], forward_by_hand(model, images(4), [1] * 3), atol=1e-5
  )


@pytest.mark.parametrize(
    "kind, layer",
    [
        ("dependent", pgates.DataDependentGate),
        ("independent", pgates.DataIndependentGate),
        ("stochastic_depth", pgates.StochasticDepthGate),
    ],
)
def test_gate_kind_names_a_layer(kind, layer):
  model = pgates.CifarResNet(8, gate=kind, input_shape=SMALL)
  assert [type(gate) for gate in gate_layers(model)] == [layer] * 3


def test_survival_probability_decays_linearly_to_one_half():
  model = pgates.CifarResNet(14, gate="stochastic_depth", input_shape=SMALL)
  expected = [11 / 12, 10 / 12, 9 / 12, 8 / 12, 7 / 12, 6 / 12]
  received = [gate.survival_probability for gate in gate_layers(model)]
  np.testing.assert_allclose(received, expected, rtol=1e-12)
  logits = model(images())["gate_logits"]
  np.testing.assert_allclose(tf.sigmoid(logits), [expected] * 3, rtol=1e-5)


@pytest.mark.parametrize("depth", [2, 9, 12, 18, -4])
def test_cifar_depth_is_6n_plus_2(depth):
  with pytest.raises(ValueError, match=rf"6n \+ 2.*Received: {depth}"):
    pgates.CifarResNet(depth)


@pytest.mark.parametrize("gate", ["dependant", "", None, 3])
def test_unknown_gate_is_refused(gate):
  with pytest.raises(ValueError, match=f"`gate`.*dependent.*{gate!r}"):
    pgates.CifarResNet(8, gate=gate)


def test_misspelt_argument_is_refused():
  with pytest.raises(TypeError, match="gates"):
    pgates.ResNet18(10, gates="none")


@pytest.mark.parametrize(
    "kind, compiled",
    parameters.slow_but(
        [("dependent", True), ("stochastic_depth", False)],
        itertools.product(KINDS, [True, False]),
    ),
)
def test_keras_file_holds_the_whole_model(kind, compiled, tmp_path):
  model = pgates.CifarResNet(
      8, 3, gate=kind, input_shape=SMALL, always_open=(1,)
  )
  if compiled:
    model.compile(optimizer="sgd")
  # Not the values that a fresh model has.
  generator = np.random.default_rng(0)
  for variable in model.trainable_variables:
    noise = generator.normal(0, 0.1, variable.shape)
    variable.assign(np.asarray(variable) + noise)
  path = tmp_path / "model.keras"
  model.save(path)
  loaded = keras.models.load_model(path)
  assert type(loaded) is pgates.GatedModel
  assert_equal_outputs(loaded(images()), model(images()), rtol=0)
  assert loaded.macs == model.macs


@pytest.fixture(name="bfloat16")
def fixture_bfloat16():
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy("mixed_bfloat16")
  yield
  keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("bfloat16")
def test_mixed_precision_keeps_outputs_and_variables_float32():
  model = pgates.CifarResNet(8, input_shape=SMALL)
  outputs = model(images(), training=True)
  assert {value.dtype for value in outputs.values()} == {tf.float32}
  assert {v.dtype for v in model.trainable_variables} == {"float32"}
  assert model.get_layer("stage3_block0").output[0].dtype == "bfloat16"


def test_one_seed_gives_identical_models_and_gates():
  def make(seed):
    keras.utils.set_random_seed(seed)
    model = pgates.CifarResNet(
        8,
        gate=lambda i, n: pgates.DataDependentGate(initial_probability=0.5),
        input_shape=SMALL,
    )
    return model, model(images(32), training=True)

  first, outputs = make(5)
  second, again = make(5)
  other, different = make(6)
  for a, b in zip(first.weights, second.weights, strict=True):
    np.testing.assert_array_equal(a, b)
  assert_equal_outputs(again, outputs, rtol=0)
  assert np.any(np.asarray(first.weights[0]) != np.asarray(other.weights[0]))
  assert np.any(outputs["gates"] != different["gates"])


def test_gates_of_blocks_and_of_steps_draw_independent_noise():
  batch = 1000
  model = pgates.CifarResNet(
      8,
      gate=lambda i, n: pgates.DataIndependentGate(initial_probability=0.5),
      input_shape=SMALL,
  )
  pgates.seed_gates(model, 1)
  draws = [
      np.asarray(model(images(batch), training=True)["gates"]) for _ in range(2)
  ]
  signs = 2 * np.concatenate(draws, axis=1) - 1
  correlations = signs.T @ signs / batch - np.eye(6)
  # A mean of `batch` independent signs has the standard error batch ** -0.5.
  assert np.max(np.abs(correlations)) < 4 * batch**-0.5
  assert np.max(np.abs(np.mean(signs, axis=0))) < 4 * batch**-0.5
