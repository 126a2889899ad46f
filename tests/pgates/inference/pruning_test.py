"""Tests of pgates/inference/pruning.py."""

import keras
import numpy as np
import pytest

import pgates

SHAPE = (8, 8, 3)
# Of blocks 0 to 5; 2 and 4 are the first of their stages.
LOGITS = (2.0, -1.0, -3.0, 0.5, 1.0, -0.2)
CLOSED = [1, 2, 5]


def images(count=5):
  generator = np.random.default_rng(0)
  return generator.uniform(0, 255, (count, *SHAPE)).astype(np.float32)


@pytest.fixture(name="fresh", scope="module")
def fixture_fresh():
  """A 14-layer network of data-independent gates, three of them closed."""
  keras.utils.set_random_seed(0)
  model = pgates.CifarResNet(14, gate="independent", input_shape=SHAPE)
  generator = np.random.default_rng(1)
  for variable in model.weights:
    if "moving_variance" in variable.path:
      variable.assign(generator.uniform(0.5, 2, variable.shape))
    elif variable.path.endswith(("beta", "moving_mean")):
      variable.assign(generator.normal(0, 0.5, variable.shape))
  for block, logit in zip(pgates.gated_blocks(model), LOGITS, strict=True):
    block.gate.logit.assign(logit)
  return model, model.get_weights()


@pytest.fixture(name="model")
def fixture_model(fresh):
  """The same, with the weights that it had at first."""
  model, weights = fresh
  model.set_weights(weights)
  return model


def ids(variables):
  return {id(variable) for variable in variables}


def num_values(model):
  return sum(int(np.prod(v.shape)) for v in model.weights)


def test_pruned_model_agrees_with_map(model):
  expected = pgates.with_strategy(model, "map")(images())
  for opened in ([], [0, 3, 4]):
    pruned = pgates.prune(model, CLOSED, always_open=opened)
    outputs = pruned(images())
    np.testing.assert_array_equal(outputs["gates"], expected["gates"])
    np.testing.assert_allclose(outputs["logits"], expected["logits"], atol=1e-5)
  assert np.std(expected["logits"], axis=0).min() > 1e-3


def test_columns_of_pruned_blocks_are_constant(model):
  outputs = pgates.prune(model, [2], always_open=[1])(images(3), training=True)
  np.testing.assert_array_equal(outputs["gates"][:, 1:3], [[1, 0]] * 3)
  logits = np.float32([LOGITS[0], 100, -100, *LOGITS[3:]])
  np.testing.assert_array_equal(outputs["gate_logits"], [logits] * 3)


def test_weights_of_dropped_branches_and_gates_are_gone(model):
  blocks = pgates.gated_blocks(model)
  pruned = pgates.prune(model, [0, 2], always_open=[1])
  gone = ids(
      blocks[0].branch.weights
      + blocks[0].gate.weights
      + blocks[1].gate.weights
      + blocks[2].branch.weights
      + blocks[2].gate.weights
  )
  assert len(gone) == 2 * (2 + 8) + 3 * 2
  assert ids(pruned.weights) == ids(model.weights) - gone
  assert not gone & ids(pruned.variables)


def test_dropped_first_block_of_a_stage_leaves_its_shortcut(model):
  block = pgates.gated_blocks(model)[2]
  pruned = pgates.prune(model, [2])
  replaced = pgates.gated_blocks(pruned)[2]
  assert (replaced.branch, replaced.gate) == (None, None)
  assert ids(block.shortcut.weights) <= ids(pruned.weights)
  x = np.random.default_rng(0).normal(size=(2, 8, 8, 16)).astype(np.float32)
  received, _, _ = replaced(x)
  kernel = np.asarray(block.shortcut.get_layer("conv").kernel)[0, 0]
  norm = block.shortcut.get_layer("bn")
  expected = (x[:, ::2, ::2] @ kernel - norm.moving_mean) / np.sqrt(
      norm.moving_variance + 1e-5
  ) * norm.gamma + norm.beta
  np.testing.assert_allclose(received, np.maximum(expected, 0), atol=1e-4)


def test_saved_file_holds_no_dropped_weights(model, tmp_path):
  pruned = pgates.prune(model, CLOSED, always_open=[0, 3, 4])
  model.save(tmp_path / "model.keras")
  pruned.save(tmp_path / "pruned.keras")
  saved = (tmp_path / "model.keras").stat().st_size
  saved -= (tmp_path / "pruned.keras").stat().st_size
  assert saved > 4 * (num_values(model) - num_values(pruned))
  loaded = keras.models.load_model(tmp_path / "pruned.keras")
  assert num_values(loaded) == num_values(pruned)
  for name, value in loaded(images()).items():
    np.testing.assert_array_equal(value, pruned(images())[name])


def test_multiply_adds_of_pruned_blocks_are_not_counted(model):
  pruned = pgates.prune(model, CLOSED, always_open=[0])
  branches = list(model.macs.branches)
  for index in CLOSED:
    branches[index] = 0
  assert pruned.macs.branches == tuple(branches)
  # The projection of block 2 stays: 8x8 to 4x4, of 16 to 32 channels.
  assert pruned.macs.fixed == model.macs.fixed
  assert pruned.macs.dense < model.macs.dense


def test_opened_dependent_gates_cost_nothing():
  model = pgates.CifarResNet(8, input_shape=SHAPE)
  pruned = pgates.prune(model, [], always_open=[0, 2])
  assert pruned.macs.gates == (0, model.macs.gates[1], 0)
  assert pruned.macs.branches == model.macs.branches
  outputs = pruned(images(), training=True)
  np.testing.assert_array_equal(outputs["gates"][:, ::2], np.ones((5, 2)))


def test_pruned_model_is_trained_without_the_dropped_branches(model):
  pruned = pgates.prune(model, [1], always_open=[0, 2, 3, 4, 5])
  assert type(pruned) is pgates.GatedModel
  dropped = pgates.gated_blocks(model)[1].branch
  before = [v.numpy() for v in dropped.weights]
  stem = model.get_layer("stem_conv").kernel.numpy()
  pruned.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
  history = pruned.fit(images(), np.arange(5), verbose=0)
  assert history.history["open_rate"] == [pytest.approx(5 / 6)]
  for variable, value in zip(dropped.weights, before, strict=True):
    np.testing.assert_array_equal(variable, value)
  # The others are shared with the original.
  assert np.any(np.asarray(model.get_layer("stem_conv").kernel) != stem)


def test_original_is_untouched(model):
  config = model.get_config()
  before = model(images())
  pruned = pgates.prune(model, CLOSED, always_open=[0, 3])
  pruned(images())
  assert model.get_config() == config
  assert all(b.branch and b.gate for b in pgates.gated_blocks(model))
  for name, value in model(images()).items():
    np.testing.assert_array_equal(value, before[name])


def test_nothing_to_prune_leaves_the_model(model):
  pruned = pgates.prune(model, [])
  assert ids(pruned.weights) == ids(model.weights)


def test_pruned_model_may_be_pruned_again(model):
  once = pgates.prune(model, CLOSED)
  twice = pgates.prune(pgates.prune(model, CLOSED[:1]), CLOSED[1:])
  np.testing.assert_array_equal(
      twice(images())["logits"], once(images())["logits"]
  )
  assert ids(twice.weights) == ids(once.weights)


def test_blocks_keep_their_settings():
  inputs = keras.Input((3,))
  block = pgates.GatedResidual(
      keras.layers.Dense(3),
      gate=pgates.DataIndependentGate(),
      activation="tanh",
      macs=77,
      name="mine",
  )
  x, gate, logit = block(inputs)
  outputs = pgates.gated_outputs(x, [gate], [logit])
  model = keras.Model(inputs, outputs)
  x = np.array([[-2.0, 0.5, 3.0]], np.float32)
  dropped = pgates.prune(model, [0])
  np.testing.assert_allclose(dropped(x)["logits"], np.tanh(x), rtol=1e-5)
  opened = pgates.prune(model, [], always_open=[0])
  kernel = np.asarray(block.branch.kernel)
  np.testing.assert_allclose(
      opened(x)["logits"], np.tanh(x + x @ kernel), rtol=1e-5
  )
  assert type(opened) is type(model)
  assert pgates.gated_blocks(opened)[0].name == "mine"
  assert pgates.count_macs(opened).branches == (77,)
  assert pgates.count_macs(dropped).branches == (0,)


def test_blocks_of_a_nested_model_are_pruned():
  inner_inputs = keras.Input((3,))
  block = pgates.GatedResidual(
      keras.layers.Dense(3), gate=pgates.DataIndependentGate(), activation=None
  )
  inner = keras.Model(inner_inputs, block(inner_inputs))
  inputs = keras.Input((3,))
  x, gate, logit = inner(inputs)
  outputs = pgates.gated_outputs(x, [gate], [logit])
  pruned = pgates.prune(keras.Model(inputs, outputs), [0])
  assert not pruned.weights
  x = np.ones((2, 3), np.float32)
  np.testing.assert_array_equal(pruned(x)["logits"], x)


@pytest.mark.parametrize(
    "closed, opened, named",
    [
        ([6], [], r"0 to 5.*dropped=\[6\]"),
        ([-1], [], r"0 to 5.*dropped=\[-1\]"),
        ([], [7], r"0 to 5.*always_open=\[7\]"),
        ([0, 1], [1], r"both lists.*dropped=\[0, 1\], always_open=\[1\]"),
    ],
)
def test_indices_of_no_block_are_refused(model, closed, opened, named):
  with pytest.raises(ValueError, match=named):
    pgates.prune(model, closed, always_open=opened)
