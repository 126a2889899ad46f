"""Tests of pgates/checkpoints.py."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

import pgates

GOLDEN = pathlib.Path(__file__).parent / "data" / "aig_cifar_resnet14.npz"
# Network: (blocks of each stage, channels of the first, is a bottleneck).
LAYOUTS = {
    pgates.ResNet18: ((2, 2, 2, 2), 64, False),
    pgates.ResNet50: ((3, 4, 6, 3), 64, True),
    pgates.CifarResNet: ((1, 1, 1), 16, False),
}
LARGE = (64, 48, 3)


def read_golden():
  with np.load(GOLDEN) as golden:
    arrays = dict(golden)
  prefix = "state/"
  state = {
      name.removeprefix(prefix): value
      for name, value in arrays.items()
      if name.startswith(prefix)
  }
  return arrays, state


def random_state(layout, *, num_classes=5, gates=False, seed=0):
  """Weights by torchvision's names, of a network in PyTorch's layout."""
  generator = np.random.default_rng(seed)
  state = {}

  def conv(name, outputs, inputs, size):
    deviation = (2 / (inputs * size**2)) ** 0.5
    state[f"{name}.weight"] = generator.normal(
        0, deviation, (outputs, inputs, size, size)
    )

  def norm(name, channels, scale=1.0):
    state[f"{name}.weight"] = scale * generator.uniform(0.5, 1.5, channels)
    state[f"{name}.bias"] = generator.normal(0, 0.2, channels)
    state[f"{name}.running_mean"] = generator.normal(0, 0.2, channels)
    state[f"{name}.running_var"] = generator.uniform(0.5, 1.5, channels)
    state[f"{name}.num_batches_tracked"] = np.array(7)

  def gate(name, channels):
    conv(f"{name}.fc1", 16, channels, 1)
    norm(f"{name}.fc1bn", 16)
    conv(f"{name}.fc2", 2, 16, 1)
    for layer, size in (("fc1", 16), ("fc2", 2)):
      state[f"{name}.{layer}.bias"] = generator.normal(0, 0.2, size)

  stages, width, bottleneck = layout
  conv("conv1", width, 3, 7 if width == 64 else 3)
  norm("bn1", width)
  inputs = width
  for stage, num_blocks in enumerate(stages):
    inner = width * 2**stage
    outputs = 4 * inner if bottleneck else inner
    kernels = (1, 3, 1) if bottleneck else (3, 3)
    for index in range(num_blocks):
      name = f"layer{stage + 1}.{index}"
      channels = [inputs, *[inner] * (len(kernels) - 1), outputs]
      for i, size in enumerate(kernels):
        conv(f"{name}.conv{i + 1}", channels[i + 1], channels[i], size)
        last = i == len(kernels) - 1
        norm(f"{name}.bn{i + 1}", channels[i + 1], 0.3 if last else 1.0)
      if index == 0 and (stage or bottleneck):
        conv(f"{name}.downsample.0", outputs, inputs, 1)
        norm(f"{name}.downsample.1", outputs)
      if gates:
        gate(name, inputs)
      inputs = outputs
  state["fc.weight"] = generator.normal(0, inputs**-0.5, (num_classes, inputs))
  state["fc.bias"] = generator.normal(0, 1, num_classes)
  return {
      name: value if "tracked" in name else value.astype(np.float32)
      for name, value in state.items()
  }


def forward(state, x):
  """The network that a state describes, MAP gates; reads names only.

  Returns:
    Class logits [batch, classes], and execute less bypass [batch, blocks].
  """

  def conv(x, name, strides=1):
    kernel = state[f"{name}.weight"].transpose(2, 3, 1, 0)
    pad = len(kernel) // 2
    x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    return tf.nn.conv2d(x, kernel, strides, "VALID")

  def norm(x, name):
    scale, bias, mean, variance = (
        state[f"{name}.{part}"]
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + bias

  def dense(x, name):
    weight = state[f"{name}.weight"]
    return x @ weight.reshape(weight.shape[:2]).T + state[f"{name}.bias"]

  def pool(x):
    return tf.reduce_mean(x, axis=(1, 2))

  large = state["conv1.weight"].shape[-1] == 7
  x = tf.nn.relu(norm(conv(x, "conv1", 2 if large else 1), "bn1"))
  if large:
    x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
  gate_logits = []
  blocks = {re.match(r"layer(\d)\.(\d+)\.", name) for name in state} - {None}
  for stage, index in sorted({tuple(map(int, b.groups())) for b in blocks}):
    name = f"layer{stage}.{index}"
    strides = 2 if stage > 1 and index == 0 else 1
    y = x
    bottleneck = f"{name}.conv3.weight" in state
    for i in range(3 if bottleneck else 2):
      y = tf.nn.relu(y) if i else y
      strided = i == (1 if bottleneck else 0)
      y = conv(y, f"{name}.conv{i + 1}", strides if strided else 1)
      y = norm(y, f"{name}.bn{i + 1}")
    shortcut = x
    if f"{name}.downsample.0.weight" in state:
      shortcut = conv(x, f"{name}.downsample.0", strides)
      shortcut = norm(shortcut, f"{name}.downsample.1")
    if f"{name}.fc1.weight" in state:
      hidden = norm(dense(pool(x), f"{name}.fc1"), f"{name}.fc1bn")
      both = dense(tf.nn.relu(hidden), f"{name}.fc2")
      gate_logits.append(both[:, 1] - both[:, 0])
      runs = tf.cast(gate_logits[-1] > 0, tf.float32)
      y *= runs[:, None, None, None]
    x = tf.nn.relu(shortcut + y)
  gate_logits = np.stack(gate_logits, axis=1) if gate_logits else None
  return dense(pool(x), "fc").numpy(), gate_logits


def rename(state, *pairs, prefix=""):
  renamed = {}
  for name, value in state.items():
    for pattern, replacement in pairs:
      name = re.sub(pattern, replacement, name)
    renamed[prefix + name] = value
  return renamed


def aig_names(state, prefix=""):
  return rename(
      state,
      (r"\.downsample\.", ".shortcut."),
      (r"^fc\.", "linear."),
      prefix=prefix,
  )


def normalised_images(shape, count=4):
  return np.random.default_rng(1).normal(0, 1, (count, *shape)).astype("f4")


def make(network, shape, **kwargs):
  depth = (8,) if network is pgates.CifarResNet else ()
  return network(
      *depth, num_classes=5, normalization=None, input_shape=shape, **kwargs
  )


@pytest.fixture(name="small")
def fixture_small():
  """An 8-layer gated network and a state that fits it."""
  state = random_state(LAYOUTS[pgates.CifarResNet], gates=True)
  return make(pgates.CifarResNet, (8, 8, 3)), state


def test_golden_network_decides_and_classifies_as_the_reference():
  arrays, state = read_golden()
  model = pgates.CifarResNet(14, normalization=None)
  pgates.load_torch_state(model, state)
  outputs = model.predict(arrays["images_nhwc"], verbose=0)
  assert 0 < np.mean(arrays["gates"]) < 1
  np.testing.assert_array_equal(outputs["gates"], arrays["gates"])
  np.testing.assert_allclose(outputs["logits"], arrays["logits"], atol=1e-4)
  np.testing.assert_allclose(
      outputs["gate_logits"], arrays["gate_logit_difference"], atol=1e-4
  )


@pytest.mark.parametrize("network", [pgates.ResNet18, pgates.ResNet50])
def test_ungated_torchvision_state_gives_the_same_logits(network):
  state = random_state(LAYOUTS[network])
  model = make(network, LARGE, gate="none")
  pgates.load_torch_state(model, rename(state, prefix="module."))
  x = normalised_images(LARGE)
  expected, _ = forward(state, x)
  assert np.std(expected, axis=0).min() > 0.01  # Tells images apart.
  received = model(x)["logits"]
  np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("matrices", [False, True], ids=["1x1", "matrices"])
@pytest.mark.parametrize("names", ["torchvision", "aig"])
def test_gated_bottleneck_state_gives_the_same_gates(names, matrices):
  state = random_state(LAYOUTS[pgates.ResNet50], gates=True)
  loaded = aig_names(state, "module.") if names == "aig" else state
  if matrices:
    loaded = {
        name: np.squeeze(value, (2, 3))
        if re.search(r"\.fc\d\.weight", name)
        else value
        for name, value in loaded.items()
    }
  model = make(pgates.ResNet50, LARGE)
  pgates.load_torch_state(model, loaded)
  x = normalised_images(LARGE)
  logits, gate_logits = forward(state, x)
  # Every gate is clear, and not all are of one mind.
  assert np.abs(gate_logits).min() > 1e-4
  assert 0.2 < np.mean(gate_logits > 0) < 0.8
  outputs = model(x)
  np.testing.assert_array_equal(outputs["gates"], gate_logits > 0)
  np.testing.assert_allclose(outputs["gate_logits"], gate_logits, atol=1e-4)
  np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("gate", ["dependent", "independent"])
def test_ungated_state_fits_a_network_with_fresh_gates(gate):
  state = random_state(LAYOUTS[pgates.CifarResNet])
  model = make(pgates.CifarResNet, (8, 8, 3), gate=gate)
  gates = [b.gate.get_weights() for b in pgates.gated_blocks(model)]
  pgates.load_torch_state(model, state, fresh_gates=True)
  for block, before in zip(pgates.gated_blocks(model), gates, strict=True):
    for value, old in zip(block.gate.get_weights(), before, strict=True):
      np.testing.assert_array_equal(value, old)
  x = normalised_images((8, 8, 3))
  received = pgates.with_strategy(model, "always_open")(x)["logits"]
  np.testing.assert_allclose(received, forward(state, x)[0], atol=1e-5)


def test_blocks_without_a_gate_take_no_gate_weights(small):
  _, state = small
  model = make(pgates.CifarResNet, (8, 8, 3), always_open=(1,))
  with pytest.raises(ValueError, match=r"Unknown.*layer2\.0\.fc1\.bias"):
    pgates.load_torch_state(model, state)
  rest = {k: v for k, v in state.items() if not k.startswith("layer2.0.fc")}
  pgates.load_torch_state(model, rest)
  x = normalised_images((8, 8, 3))
  expected, gate_logits = forward(rest, x)
  outputs = model(x)
  np.testing.assert_allclose(outputs["logits"], expected, atol=1e-5)
  np.testing.assert_allclose(
      np.asarray(outputs["gate_logits"])[:, [0, 2]], gate_logits, atol=1e-5
  )


def assert_refused(model, state, match, **kwargs):
  before = model.get_weights()
  with pytest.raises(ValueError, match=match):
    pgates.load_torch_state(model, state, **kwargs)
  for value, old in zip(model.get_weights(), before, strict=True):
    np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize(
    "name",
    [
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.conv2.weight",
        "layer2.0.downsample.0.weight",
        "layer2.0.downsample.1.bias",
        "layer3.0.fc1bn.running_mean",
        "layer3.0.fc2.bias",
        "fc.weight",
    ],
)
def test_missing_entry_is_named(small, name):
  model, state = small
  del state[name]
  assert_refused(model, state, f"Missing entries: .*{re.escape(name)}")
  (renamed,) = aig_names({name: 0})
  assert_refused(
      model, aig_names(state), f"Missing entries: .*{re.escape(renamed)}"
  )


@pytest.mark.parametrize(
    "name",
    [
        "layer1.0.conv3.weight",
        "layer1.1.conv1.weight",
        "layer4.0.conv1.weight",
        "layer1.0.downsample.0.weight",
        "head.bias",
    ],
)
def test_unknown_entry_is_named(small, name):
  model, state = small
  state[name] = np.zeros(3, np.float32)
  assert_refused(model, state, f"Unknown entries: {re.escape(name)}")


def test_second_name_for_one_entry_is_refused(small):
  model, state = small
  state["linear.bias"] = 1 + state["fc.bias"]
  assert_refused(model, state, r"Unknown entries: fc\.bias")


@pytest.mark.parametrize(
    "name, change",
    [
        ("conv1.weight", lambda v: v.transpose(2, 3, 1, 0)),
        ("conv1.weight", lambda v: v[..., 0]),
        ("layer1.0.conv1.weight", lambda v: v[:, :, :2, :2]),
        ("layer2.0.downsample.0.weight", lambda v: v.transpose(1, 0, 2, 3)),
        ("layer2.0.downsample.1.bias", lambda v: v[:1]),
        ("bn1.running_mean", lambda v: v[None]),
        ("layer3.0.fc1.weight", lambda v: v.transpose(1, 0, 2, 3)),
        ("layer3.0.fc1.weight", lambda v: v[:, :, 0, 0].T),
        ("layer3.0.fc1.weight", lambda v: np.tile(v, (1, 1, 3, 3))),
        ("layer2.0.fc2.weight", lambda v: v[:, :, 0, 0].T),
        ("layer2.0.fc2.weight", lambda v: v[:1]),
        ("layer2.0.fc2.weight", lambda v: v[:, 0, 0, 0]),
        ("layer2.0.fc2.bias", lambda v: v[:1]),
        ("layer2.0.fc2.bias", lambda v: v[0]),
        ("fc.weight", lambda v: v.T),
        ("fc.bias", lambda v: v[:-1]),
    ],
)
def test_wrongly_shaped_entry_is_named(small, name, change):
  model, state = small
  state[name] = change(state[name])
  shape = re.escape(str(state[name].shape))
  assert_refused(model, state, f"{re.escape(name)} has shape {shape}")


def test_ungated_state_needs_fresh_gates(small):
  model, _ = small
  state = random_state(LAYOUTS[pgates.CifarResNet])
  assert_refused(model, state, r"layer1\.0\.fc1.*fresh_gates=True")


def test_gate_entries_do_not_fit_other_gates(small):
  _, state = small
  model = make(pgates.CifarResNet, (8, 8, 3), gate="independent")
  assert_refused(model, state, "DataIndependentGate.*fresh_gates=True")
  assert_refused(model, state, r"layer1\.0\.fc1", fresh_gates=True)
