"""Tests of pgates/networks/resnet.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import pgates

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


def set_logits(model, logits):
  """Sets the logits of data-independent gates."""
  for gate, logit in zip(gate_layers(model), logits, strict=True):
    if gate is not None:
      gate.logit.assign(logit)


def assert_equal_outputs(received, expected, **tolerance):
  assert set(received) == set(expected)
  for name in received:
    np.testing.assert_allclose(
        received[name], expected[name], err_msg=name, **tolerance
    )


LARGE = (pgates.ResNet101, pgates.ResNet152)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(f, marks=[pytest.mark.slow] if f in LARGE else [])
        for f in PARAMETERS
    ],
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


def test_cifar_resnet110_has_54_gates_of_one_parameter():
  model = pgates.CifarResNet(110, gate="independent", input_shape=SMALL)
  assert model.output["gates"].shape == (None, 54)
  # With shortcuts that have no parameters: 1.7 M in He et al., table 6.
  projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
  assert num_trainable(model) == 1_727_962 + projections + 54


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [False, True])
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


def convolve(x, kernel, *, strides, padding):
  """Cross-correlation as of PyTorch: zeros on all four sides."""
  x = np.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
  size = kernel.shape[0]
  height, width = ((n - size) // strides + 1 for n in x.shape[1:3])
  out = np.zeros((len(x), height, width, kernel.shape[-1]))
  for i in range(height):
    for j in range(width):
      top, left = i * strides, j * strides
      patch = x[:, top : top + size, left : left + size]
      out[:, i, j] = np.tensordot(patch, kernel, axes=3)
  return out


def up_to(model, name):
  """The part of a model that ends in a layer."""
  return keras.Model(model.input, model.get_layer(name).output)


def test_stem_pads_symmetrically():
  model = pgates.ResNet18(
      3, gate="none", input_shape=(18, 16, 3), normalization=None
  )
  x = images(2, (18, 16, 3)) / 255
  kernel = np.asarray(model.get_layer("stem_conv").kernel)
  np.testing.assert_allclose(
      up_to(model, "stem_conv")(x),
      convolve(x, kernel, strides=2, padding=3),
      atol=1e-4,
  )


def test_stem_pool_pads_symmetrically():
  model = pgates.ResNet18(
      3, gate="none", input_shape=(32, 32, 3), normalization=None
  )
  x = images(2, (32, 32, 3)) - 128
  before = np.asarray(up_to(model, "stem_relu")(x))
  padded = np.pad(
      before, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf
  )
  expected = np.max(
      [
          padded[:, i : i + 16 : 2, j : j + 16 : 2]
          for i in range(3)
          for j in range(3)
      ],
      axis=0,
  )
  np.testing.assert_array_equal(up_to(model, "stem_pool")(x), expected)


@pytest.mark.parametrize(
    "make, strided",
    [(pgates.ResNet18, "conv1"), (pgates.ResNet50, "conv2")],
)
def test_stage_first_block_strides_its_3x3_with_symmetric_padding(
    make, strided
):
  model = make(3, gate="none", input_shape=(32, 32, 3))
  block = model.get_layer("stage2_block0")
  strides = {
      layer.name: layer.strides
      for layer in block.branch.layers
      if isinstance(layer, keras.layers.Conv2D)
  }
  conv = block.branch.get_layer(strided)
  assert conv.kernel_size == (3, 3)
  assert strides.pop(strided) == (2, 2)
  assert set(strides.values()) == {(1, 1)}
  layers = block.branch.layers
  x = images(2, (6, 6, conv.kernel.shape[2]))
  y = x
  for layer in layers[layers.index(conv) - 1 : layers.index(conv) + 1]:
    y = layer(y)
  expected = convolve(x, np.asarray(conv.kernel), strides=2, padding=1)
  np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("normalization", ["imagenet", "unit"])
def test_normalization_takes_images_of_0_to_255(normalization):
  model = pgates.CifarResNet(8, input_shape=SMALL, normalization=normalization)
  expected = images() / 255
  if normalization == "imagenet":
    expected = (expected - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  received = up_to(model, "normalization")(images())
  np.testing.assert_allclose(received, expected, atol=1e-5)


def test_without_normalization_the_stem_reads_the_images():
  model = pgates.CifarResNet(8, input_shape=SMALL, normalization=None)
  kernel = np.asarray(model.get_layer("stem_conv").kernel)
  np.testing.assert_allclose(
      up_to(model, "stem_conv")(images()),
      convolve(images(), kernel, strides=1, padding=1),
      rtol=1e-4,
      atol=1e-2,
  )


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


def test_always_open_blocks_run_in_training_and_carry_no_gate():
  model = pgates.CifarResNet(
      14, gate="independent", always_open=[1, 4], input_shape=SMALL
  )
  set_logits(model, [-100.0] * 6)
  expected = [0, 1, 0, 0, 1, 0]
  assert [gate is None for gate in gate_layers(model)] == [
      bool(ran) for ran in expected
  ]
  outputs = model(images(4), training=True)
  np.testing.assert_array_equal(outputs["gates"], [expected] * 4)
  np.testing.assert_allclose(
      outputs["logits"], forward_by_hand(model, images(4), expected), atol=1e-5
  )
  assert not [
      v for v in model.get_layer("stage1_block1").weights if "gate" in v.path
  ]


def test_always_open_blocks_cost_no_gate():
  every = pgates.CifarResNet(14, input_shape=SMALL)
  some = pgates.CifarResNet(14, input_shape=SMALL, always_open=(0, 5))
  assert some.macs.branches == every.macs.branches
  assert some.macs.gates == (0, *every.macs.gates[1:5], 0)
  # The first block reads 16 channels, the last one 64.
  saved = (16 * 16 + 65) + (16 * 64 + 65)
  assert num_trainable(every) - num_trainable(some) == saved


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


def test_callable_gate_is_asked_for_each_block():
  asked = []

  def gate(block_index, num_blocks):
    asked.append((block_index, num_blocks))
    if block_index % 2:
      return None
    return pgates.DataIndependentGate(
        initial_probability=0.1 + 0.1 * block_index
    )

  model = pgates.CifarResNet(14, gate=gate, always_open=(2,), input_shape=SMALL)
  assert asked == [(i, 6) for i in (0, 1, 3, 4, 5)]
  logits = np.asarray(model(images(1))["gate_logits"])[0]
  np.testing.assert_array_equal(logits[[1, 2, 3, 5]], [100] * 4)
  probabilities = 1 / (1 + np.exp(-logits[[0, 4]]))
  np.testing.assert_allclose(probabilities, [0.1, 0.5], rtol=1e-5)


def test_synchronized_reaches_every_batch_norm():
  model = pgates.ResNet18(2, synchronized=True, input_shape=(32, 32, 3))
  norms = [
      layer
      for layer in model._flatten_layers()
      if isinstance(layer, keras.layers.BatchNormalization)
  ]
  # The stem, two a branch, three projections, one a gate.
  assert len(norms) == 1 + 2 * 8 + 3 + 8
  assert all(norm.synchronized for norm in norms)


@pytest.mark.parametrize("depth", [2, 9, 12, 18, -4])
def test_cifar_depth_is_6n_plus_2(depth):
  with pytest.raises(ValueError, match=rf"6n \+ 2.*Received: {depth}"):
    pgates.CifarResNet(depth)


@pytest.mark.parametrize("gate", ["dependant", "", None, 3])
def test_unknown_gate_is_refused(gate):
  with pytest.raises(ValueError, match=f"`gate`.*dependent.*{gate!r}"):
    pgates.CifarResNet(8, gate=gate)


@pytest.mark.parametrize("index", [3, -1])
def test_always_open_of_no_block_is_refused(index):
  with pytest.raises(ValueError, match=rf"0 to 2.*\[{index}\]"):
    pgates.CifarResNet(8, always_open=(0, index))


def test_imagenet_normalization_is_for_three_channels():
  with pytest.raises(ValueError, match=r"3 channels.*\(8, 8, 1\)"):
    pgates.ResNet18(2, input_shape=(8, 8, 1))
  gray = pgates.CifarResNet(8, input_shape=(8, 8, 1))
  assert gray(images(2, (8, 8, 1)))["logits"].shape == (2, 10)


def test_unknown_normalization_and_no_classes_are_refused():
  with pytest.raises(ValueError, match="`normalization`.*'units'"):
    pgates.CifarResNet(8, normalization="units")
  with pytest.raises(ValueError, match="`num_classes`.*0"):
    pgates.CifarResNet(8, 0)


def test_misspelt_argument_is_refused():
  with pytest.raises(TypeError, match="gates"):
    pgates.ResNet18(10, gates="none")


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", KINDS)
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
        14,
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
