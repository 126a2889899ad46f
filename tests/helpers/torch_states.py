"""Weights by PyTorch's names, and the networks that they describe."""

import re

import numpy as np
import tensorflow as tf

import pgates

# Network: (blocks of each stage, channels of the first, is a bottleneck).
LAYOUTS = {
    pgates.ResNet18: ((2, 2, 2, 2), 64, False),
    pgates.ResNet50: ((3, 4, 6, 3), 64, True),
    pgates.CifarResNet: ((1, 1, 1), 16, False),
}
LARGE = (64, 48, 3)


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
  """Another naming: each pair is a pattern and what replaces it."""
  renamed = {}
  for name, value in state.items():
    for pattern, replacement in pairs:
      name = re.sub(pattern, replacement, name)
    renamed[prefix + name] = value
  return renamed


def aig_names(state, prefix=""):
  """ConvNet-AIG's naming."""
  return rename(
      state,
      (r"\.downsample\.", ".shortcut."),
      (r"^fc\.", "linear."),
      prefix=prefix,
  )


def normalised_images(shape, count=4):
  """Images as a network sees them behind its normalisation."""
  return np.random.default_rng(1).normal(0, 1, (count, *shape)).astype("f4")
