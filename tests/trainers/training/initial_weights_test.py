"""Tests of `trainers.training.initial_weights`."""

import itertools
import sys
import types

import keras
import numpy as np
import pytest
from safetensors import numpy as safetensors
import tensorflow as tf

import pgates
from tests.helpers import parameters
from tests.helpers import torch_states
from tests.helpers import training_runs
from trainers.training import initial_weights
from trainers.training import networks

SHAPE = (8, 8, 3)


def _network(*arguments, shape=(8, 8, 1), classes=10):
  config = training_runs.config("--network=cifar_resnet8", *arguments)
  return networks.build_network(config, image_shape=shape, num_classes=classes)


def _gates(model):
  return [block.gate for block in pgates.gated_blocks(model)]


def _images():
  return np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1))


def _randomized(model):
  generator = np.random.default_rng(1)
  for variable in model.weights:
    noise = generator.normal(scale=0.1, size=variable.shape)
    variable.assign(np.abs(variable + noise))  # Variances are positive.
  return model


@pytest.fixture(scope="module")
def ungated(tmp_path_factory):
  """An ungated network whose every weight is random, and its file."""
  keras.utils.set_random_seed(5)
  model = _randomized(_network("--gate=none"))
  path = tmp_path_factory.mktemp("source") / "model.keras"
  model.save(path)
  return model, path


@pytest.mark.parametrize(
    "of_workdir", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_initial_weights_are_those_of_the_other_network(ungated, of_workdir):
  source, path = ungated
  model = _network()
  before = [np.asarray(v) for gate in _gates(model) for v in gate.weights]
  initial_weights.load_initial_weights(
      model, path.parent if of_workdir else path
  )
  opened = pgates.with_strategy(model, "always_open")
  np.testing.assert_allclose(
      opened.predict(_images(), verbose=0)["logits"],
      source.predict(_images(), verbose=0)["logits"],
      atol=1e-6,
      rtol=1e-6,
  )
  after = [np.asarray(v) for gate in _gates(model) for v in gate.weights]
  for old, new in zip(before, after, strict=True):
    np.testing.assert_array_equal(new, old)


def test_gates_start_fresh_from_a_gated_network_too(tmp_path):
  source = _network("--gate=independent", "--initial_probability=0.3")
  source.save(tmp_path / "model.keras")
  model = _network("--gate=independent", "--initial_probability=0.6")
  initial_weights.load_initial_weights(model, tmp_path)
  for gate in _gates(model):
    np.testing.assert_allclose(float(gate.logit), np.log(0.6 / 0.4), rtol=1e-6)
  np.testing.assert_array_equal(
      model.get_layer("classifier").kernel,
      source.get_layer("classifier").kernel,
  )


def _of_keras(*arguments):
  return _network(
      *("--network=MobileNetV2", "--network_args=alpha=0.35", *arguments),
      shape=(32, 32, 1),
  )


def _nameless(gate):
  """A network whose layers have the names that Keras makes up."""
  images = keras.Input((8, 8, 3))
  x = keras.layers.Conv2D(4, 1)(images)
  for _ in range(2):
    y = keras.layers.Conv2D(4, 3, padding="same")(x)
    y = keras.layers.BatchNormalization()(y)
    x = keras.layers.Add()([x, y])
  x = keras.layers.Flatten()(keras.layers.Conv2D(4, 1)(x))
  model = keras.Model(images, keras.layers.Dense(3)(x))
  return pgates.gate_residuals(model, gate=gate, min_share=0)


@pytest.mark.parametrize(
    "plain, gated",
    [
        pytest.param(
            lambda: _of_keras("--gate=none"), _of_keras, marks=pytest.mark.slow
        ),
        (lambda: _nameless("none"), lambda: _nameless("independent")),
    ],
    ids=["MobileNetV2", "names of Keras"],
)
def test_gated_network_starts_from_the_same_one_without_gates(
    plain, gated, tmp_path, capsys
):
  source, model = _randomized(plain()), gated()
  source.save(tmp_path / "model.keras")
  initial_weights.load_initial_weights(model, tmp_path)
  fresh = sum(len(gate.weights) for gate in _gates(model))
  assert (
      f"Loaded {len(source.weights)} variables of {tmp_path / 'model.keras'}; "
      f"{fresh}, of gates, fresh."
  ) in capsys.readouterr().out
  shape = (4, *model.input_shape[1:])
  images = np.random.default_rng(0).uniform(0, 255, shape).astype("float32")
  opened = pgates.with_strategy(model, "always_open")
  expected = np.asarray(source(images, training=False)["logits"])
  received = np.asarray(opened(images, training=False)["logits"])
  assert np.all(np.isfinite(expected)) and np.ptp(expected) > 0
  np.testing.assert_array_equal(received, expected)


def test_arrays_of_pytorch_are_for_our_networks(tmp_path):
  np.savez(tmp_path / "source.npz", **_state(gates=False))
  with pytest.raises(ValueError, match="of our ResNets.*with a block add"):
    initial_weights.load_initial_weights(
        _nameless("independent"), tmp_path / "source.npz"
    )


def test_missing_source_is_an_error(tmp_path):
  for path in (tmp_path, tmp_path / "other.keras"):
    with pytest.raises(FileNotFoundError, match="--init_from: there is no"):
      initial_weights.load_initial_weights(_network(), path)


def test_weight_that_is_missing_is_named_and_the_model_stays(ungated):
  model = _network("--network=cifar_resnet14")
  before = [np.asarray(v) for v in model.weights]
  with pytest.raises(ValueError, match="stage1_block1/.* is missing there"):
    initial_weights.load_initial_weights(model, ungated[1])
  for old, new in zip(before, model.weights, strict=True):
    np.testing.assert_array_equal(new, old)


def test_weight_of_another_shape_is_named(ungated):
  config = training_runs.config("--network=cifar_resnet8")
  model = networks.build_network(config, image_shape=(8, 8, 1), num_classes=4)
  message = r"classifier/kernel of shape \(64, 4\) is of shape \(64, 10\)"
  with pytest.raises(ValueError, match=message):
    initial_weights.load_initial_weights(model, ungated[1])


def _own_network(*arguments):
  """A network as the states below describe."""
  return _network("--normalization=none", *arguments, shape=SHAPE, classes=5)


def _state(*, gates):
  layout = torch_states.LAYOUTS[pgates.CifarResNet]
  return torch_states.random_state(layout, gates=gates)


class _Tensor:
  """As much of a PyTorch tensor as is read."""

  def __init__(self, value):
    self._value = value

  def float(self):
    return self

  def numpy(self):
    return self._value


def _fake_torch(content):
  def load(path, *, map_location, weights_only):
    assert path.is_file() and map_location == "cpu" and weights_only
    return content

  return types.SimpleNamespace(load=load)


def _write(state, path, monkeypatch):
  if path.suffix == ".npz":
    np.savez(path, **state)
  elif path.suffix == ".safetensors":
    safetensors.save_file(state, path)
  else:
    tensors = {name: _Tensor(value) for name, value in state.items()}
    whole = {"state_dict": tensors, "epoch": 90}
    content = whole if path.suffix == ".tar" else tensors
    monkeypatch.setitem(sys.modules, "torch", _fake_torch(content))
    path.touch()
  return path


SUFFIXES = (".npz", ".safetensors", ".pth", ".tar")


@pytest.mark.parametrize(
    "suffix, gate",
    parameters.slow_but(
        [
            *((".npz", "none"), (".safetensors", "dependent")),
            *((".pth", "independent"), (".tar", "dependent")),
        ],
        itertools.product(SUFFIXES, ["none", "dependent", "independent"]),
    ),
)
def test_open_gates_leave_the_ungated_source(
    suffix, gate, tmp_path, monkeypatch
):
  state = _state(gates=False)
  path = _write(state, tmp_path / f"source{suffix}", monkeypatch)
  model = _own_network(f"--gate={gate}")
  gates = [np.asarray(v) for g in _gates(model) if g for v in g.weights]
  initial_weights.load_initial_weights(model, path)
  x = torch_states.normalised_images(SHAPE)
  expected, _ = torch_states.forward(state, x)
  opened = pgates.with_strategy(model, "always_open")
  received = opened.predict(x, verbose=0)["logits"]
  scale = np.abs(expected).max()
  np.testing.assert_allclose(received, expected, atol=1e-5 * scale)
  after = [np.asarray(v) for g in _gates(model) if g for v in g.weights]
  for old, new in zip(gates, after, strict=True):
    np.testing.assert_array_equal(new, old)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network", ["resnet18", pytest.param("resnet50", marks=pytest.mark.slow)]
)
def test_large_networks_too(network, tmp_path, monkeypatch):
  shape = torch_states.LARGE
  kind = getattr(pgates, network.replace("resnet", "ResNet"))
  state = torch_states.random_state(torch_states.LAYOUTS[kind])
  path = _write(state, tmp_path / "source.safetensors", monkeypatch)
  model = _network(
      *(f"--network={network}", "--normalization=none"), shape=shape, classes=5
  )
  initial_weights.load_initial_weights(model, path)
  x = torch_states.normalised_images(shape)
  expected, _ = torch_states.forward(state, x)
  opened = pgates.with_strategy(model, "always_open")
  received = opened.predict(x, verbose=0)["logits"]
  scale = np.abs(expected).max()
  np.testing.assert_allclose(received, expected, atol=2e-5 * scale)


def test_gates_of_a_checkpoint_are_loaded_where_they_fit(tmp_path, monkeypatch):
  state = _state(gates=True)
  named = torch_states.aig_names(state, "module.")
  path = _write(named, tmp_path / "aig.tar", monkeypatch)
  model = _own_network("--gate=dependent")
  initial_weights.load_initial_weights(model, path)
  x = torch_states.normalised_images(SHAPE)
  expected, gate_logits = torch_states.forward(state, x)
  outputs = model.predict(x, verbose=0)
  np.testing.assert_allclose(outputs["gate_logits"], gate_logits, atol=1e-4)
  np.testing.assert_allclose(outputs["logits"], expected, atol=1e-4)


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod."])
def test_checkpoint_of_a_compiled_network_in_bfloat16_is_read(tmp_path, prefix):
  bfloat16 = tf.bfloat16.as_numpy_dtype
  state = {k: v.astype(bfloat16) for k, v in _state(gates=True).items()}
  np.savez(tmp_path / "half.npz", **torch_states.rename(state, prefix=prefix))
  model = _own_network("--gate=dependent", "--always_open=0,2")
  initial_weights.load_initial_weights(model, tmp_path / "half.npz")
  np.testing.assert_array_equal(
      _gates(model)[1].hidden.bias,
      state["layer2.0.fc1.bias"].astype(np.float32),
  )
  np.testing.assert_array_equal(
      model.get_layer("stem_bn").gamma, state["bn1.weight"].astype(np.float32)
  )


def test_gates_of_blocks_that_are_always_open_are_left_out(
    tmp_path, monkeypatch
):
  """As of ConvNet-AIG's schedules, whose checkpoints gate all blocks."""
  state = _state(gates=True)
  path = _write(state, tmp_path / "aig.npz", monkeypatch)
  whole = _own_network("--gate=dependent")
  initial_weights.load_initial_weights(whole, path)
  model = _own_network("--gate=dependent", "--always_open=0,2")
  initial_weights.load_initial_weights(model, path)
  gates, of_whole = _gates(model), _gates(whole)
  assert [gate is None for gate in gates] == [True, False, True]
  for ours, theirs in zip(gates[1].weights, of_whole[1].weights, strict=True):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("gate", ["none", "independent", "stochastic_depth"])
def test_gates_of_a_checkpoint_are_left_out_where_they_do_not(
    gate, tmp_path, monkeypatch
):
  state = _state(gates=True)
  path = _write(state, tmp_path / "aig.npz", monkeypatch)
  model = _own_network(f"--gate={gate}")
  initial_weights.load_initial_weights(model, path)
  np.testing.assert_array_equal(
      model.get_layer("classifier").bias, state["fc.bias"]
  )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("bn1.weight"), "source.npz: .*Missing.*bn1.weight"),
        (lambda s: s.update(other=np.ones(3)), "Unknown entries: other"),
    ],
)
def test_state_that_does_not_fit_is_refused(
    change, message, tmp_path, monkeypatch
):
  state = _state(gates=False)
  change(state)
  path = _write(state, tmp_path / "source.npz", monkeypatch)
  with pytest.raises(ValueError, match=message):
    initial_weights.load_initial_weights(_own_network(), path)


def test_pytorch_file_without_pytorch_says_what_to_do(tmp_path, monkeypatch):
  (tmp_path / "a.pth").touch()
  monkeypatch.setitem(sys.modules, "torch", None)
  with pytest.raises(ImportError, match="pip install torch.*as .npz"):
    initial_weights.load_initial_weights(_own_network(), tmp_path / "a.pth")


@pytest.mark.parametrize("name", ["a.h5", "resnet50.weights.h5", "b.keras"])
def test_other_layouts_are_refused_with_the_reason(name, tmp_path):
  model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
  if name.endswith(".keras"):
    model.save(tmp_path / name)
  else:
    (tmp_path / name).touch()
  with pytest.raises(ValueError, match="another layout.*first 1x1"):
    initial_weights.load_initial_weights(_own_network(), tmp_path / name)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".keras"])
def test_damaged_file_is_said_to_be_one(suffix, tmp_path):
  path = tmp_path / f"a{suffix}"
  path.write_bytes(b"damaged" * 100)
  with pytest.raises(ValueError, match=f"is damaged, or no {suffix} file"):
    initial_weights.load_initial_weights(_own_network(), path)


def test_single_array_is_no_file_of_weights(tmp_path):
  with (tmp_path / "a.npz").open("wb") as file:
    np.save(file, np.ones(3))
  with pytest.raises(ValueError, match="one array without a name"):
    initial_weights.load_initial_weights(_own_network(), tmp_path / "a.npz")


def test_unknown_kind_of_file_is_refused(tmp_path):
  (tmp_path / "a.onnx").touch()
  with pytest.raises(ValueError, match=r"Expected .keras, .safe.*'.onnx'"):
    initial_weights.load_initial_weights(_own_network(), tmp_path / "a.onnx")
