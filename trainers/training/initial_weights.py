"""Weights of other networks to start from, whatever program wrote them."""

import collections
import importlib
import os
import pathlib
import re

import keras
import numpy as np
from safetensors import numpy as safetensors
import tensorflow as tf

import pgates
from pgates import model_files
from pgates.networks import torch_weights

_GATE_ENTRY = re.compile(r"(layer\d+\.\d+\.)fc(?:1|2|1bn)\.")
_KERAS_SUFFIXES = (".h5", ".hdf5", ".weights")
_SUFFIXES = ".keras, .safetensors, .npz, .pth, .pt or .tar"
_OTHER_LAYOUT = (
    "Our resnet18 ... 152 take torchvision's or timm's, as .safetensors, .npz "
    "or .pth: residual networks of Keras Applications and KerasCV have another "
    "layout (biased convolutions, other epsilons and padding, strides on the "
    "first 1x1), so that their weights would compute something else there. A "
    "--network of Keras Applications takes the workdir of a run of its own, as "
    "of --gate=none."
)


def load_initial_weights(
    model: pgates.GatedModel, path: str | os.PathLike
) -> None:
  """Takes the weights of another network.

  Gates keep their own, but for those of a ConvNet-AIG checkpoint into
  data-dependent gates. It prints how many variables were loaded, and how many
  were not.

  Args:
    model: a `pgates.GatedModel` of `networks.build_network`.
    path: the workdir of a run; a `.keras` file of ours; or a file of arrays by
      torchvision's, timm's or ConvNet-AIG's names: `.safetensors`, `.npz`, and
      where PyTorch is installed `.pth`, `.pt` or `.tar`.

  Raises:
    FileNotFoundError: if there is no such file.
    ImportError: for a file of PyTorch's, if it is not installed.
    ValueError: if a weight is missing there or has another shape, which is
      named, or the layout is another. The model is then as before.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / "model.keras"
  if not path.is_file():
    raise FileNotFoundError(
        f"--init_from: there is no {path}. Give the workdir of a finished run, "
        f"or a file: {_SUFFIXES}."
    )
  try:
    if path.suffix == ".keras":
      num_loaded = _load_keras(model, path)
    else:
      num_loaded = _load_torch(model, _read_state(path))
  except ValueError as error:
    raise ValueError(f"--init_from={path}: {error}") from error
  num_fresh = len(model.weights) - num_loaded
  print(
      f"Loaded {num_loaded} variables of {path}; {num_fresh}, of gates, fresh.",
      flush=True,
  )


def _load_keras(model, path):
  try:
    other = pgates.load_model(path)
  except model_files.NoGatedModel as error:
    raise ValueError(f"{error} {_OTHER_LAYOUT}") from error
  theirs = _weights(other)
  pairs = []
  for name, variable in _weights(model).items():
    value = theirs.get(name)
    if value is None or value.shape != variable.shape:
      found = "missing" if value is None else f"of shape {tuple(value.shape)}"
      raise ValueError(
          f"{name} of shape {tuple(variable.shape)} is {found} there. The "
          "networks must agree but for their gates."
      )
    pairs.append((variable, value))
  for variable, value in pairs:
    variable.assign(value)
  return len(pairs)


def _weights(layer, prefix=""):
  """Weights but those of gates, by name; a reloaded model's paths differ."""
  if isinstance(layer, pgates.GatedResidual):
    parts = [layer.branch, layer.shortcut]
  elif isinstance(layer, keras.Model):
    parts = layer.layers
  else:
    return {f"{prefix}/{v.name}": v for v in layer.weights}
  found = {}
  for name, part in _named([part for part in parts if part is not None]):
    found |= _weights(part, f"{prefix}/{name}".removeprefix("/"))
  return found


def _named(layers):
  """Layers with names that do not depend on what Keras has made before."""
  counts = collections.Counter()
  for layer in layers:
    name, stem = layer.name, re.sub(r"_\d+$", "", layer.name)
    kinds = [type(layer).__name__.lower()]
    if isinstance(layer, pgates.GatedResidual):
      kinds.append("add")  # Found blocks have the names of their additions.
    if stem.replace("_", "") in kinds:
      # Keras's own choice, as in conv2d_17: a count over the whole process.
      name = f"{stem}_{counts[stem]}"
      counts[stem] += 1
    yield name, layer


def _load_torch(model, state):
  prefixes = {
      torch_weights.block_prefix(block): block.gate
      for block in pgates.gated_blocks(model)
  }
  # Blocks that are always open have none.
  gates = {p: gate for p, gate in prefixes.items() if gate is not None}
  kinds = {type(gate) for gate in gates.values()}
  takes_gates = kinds == {pgates.DataDependentGate}
  has_gates = any(map(_gate_entry, state))
  state = {
      name: value
      for name, value in state.items()
      if not (match := _gate_entry(name)) or takes_gates and match[1] in gates
  }
  fresh_gates = not (has_gates and takes_gates)
  pgates.load_torch_state(model, state, fresh_gates=fresh_gates)
  num_fresh = sum(len(gate.weights) for gate in gates.values())
  # The temperatures are settings, and in no checkpoint.
  return len(model.weights) - (num_fresh if fresh_gates else len(gates))


def _gate_entry(name):
  return _GATE_ENTRY.match(torch_weights.canonical_name(name))


def _read_state(path):
  """The arrays of a file, by their names."""
  if path.suffix in _KERAS_SUFFIXES:
    raise ValueError(_OTHER_LAYOUT)
  if path.suffix not in _READERS:
    raise ValueError(f"Expected {_SUFFIXES}. Received: {path.suffix!r}")
  try:
    return _READERS[path.suffix](path)
  except (ImportError, FileNotFoundError):
    raise
  except Exception as error:  # Each library has errors of its own.
    raise ValueError(
        f"The file is damaged, or no {path.suffix} file: {error}"
    ) from error


def _read_npz(path):
  arrays = np.load(path)
  if isinstance(arrays, np.ndarray):
    raise ValueError("it holds one array without a name")
  with arrays:
    return {name: _numbers(arrays[name]) for name in arrays}


def _numbers(array):
  # NumPy has no bfloat16, and writes its two bytes as they are.
  if array.dtype == np.dtype("V2"):
    array = array.view(tf.bfloat16.as_numpy_dtype).astype(np.float32)
  return array


def _read_torch(path):
  try:
    torch = importlib.import_module("torch")
  except ImportError as error:
    raise ImportError(
        f"--init_from={path} needs PyTorch: `pip install torch`, or save the "
        "state_dict where it is installed, as .npz: numpy.savez(path, **{k: "
        "v.numpy() for k, v in state.items()})."
    ) from error
  content = torch.load(path, map_location="cpu", weights_only=True)
  # A checkpoint of a training run holds the weights beside other things.
  state = content.get("state_dict", content)
  return {name: value.float().numpy() for name, value in state.items()}


_READERS = {
    ".npz": _read_npz,
    ".safetensors": safetensors.load_file,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".tar": _read_torch,
}
