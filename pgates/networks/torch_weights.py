"""Weights of others, by their PyTorch state_dict names, into our networks.

Read are ConvNet-AIG's names (`layer1.0.fc1.weight` for gates, `shortcut.0`,
`linear`) and torchvision's and timm's (`downsample.0`, `fc`). Their networks
have our layout: stride on the 3x3, symmetric padding.
"""

from collections.abc import Mapping
import re

import keras
import numpy as np

from pgates import graphs
from pgates.layers import blocks
from pgates.layers import data_dependent_gate

_BLOCK = re.compile(r"stage(\d+)_block(\d+)")
_SYNONYMS = (
    (re.compile(r"(^|\.)_orig_mod\."), r"\1"),  # torch.compile
    (re.compile(r"^module\."), ""),  # torch.nn.DataParallel
    (re.compile(r"\.downsample\."), ".shortcut."),
    (re.compile(r"^linear\."), "fc."),
)

_UNGATED = " For ungated weights into a gated network, pass fresh_gates=True."


def load_torch_state(
    model: keras.Model,
    state: Mapping[str, np.ndarray],
    *,
    fresh_gates: bool = False,
) -> None:
  """Loads a PyTorch state_dict into one of our ResNets.

  ConvNet-AIG's gates have two logits (bypass, execute); their difference is
  our one. Batch norms' epsilon is taken to be PyTorch's 1e-5, as ours.

  Args:
    model: a `CifarResNet` or `ResNet18` to `ResNet152`.
    state: mapping of names to NumPy arrays, convolutions [out, in, kh, kw].
    fresh_gates: whether the gates keep their values, for a state without any
      (ungated weights into a gated network).

  Raises:
    ValueError: if an entry is missing, unknown or wrongly shaped; names it.
      The model is then as before.
  """
  entries = {canonical_name(name): name for name in state}
  targets = _targets(model, fresh_gates)
  missing = sorted(_with_synonym(key) for key in set(targets) - set(entries))
  unknown = sorted(
      name
      for name in state
      if not name.endswith("num_batches_tracked")
      # Of two names for one entry, the first is not read.
      and (
          canonical_name(name) not in targets
          or entries[canonical_name(name)] != name
      )
  )
  if missing or unknown:
    of_gates = (
        set() if fresh_gates else set(targets) - set(_targets(model, True))
    )
    is_ungated = of_gates and not of_gates & set(entries)
    raise ValueError(
        f"The state does not fit {model.name}. Missing entries: "
        f"{_some(missing)}. Unknown entries: {_some(unknown)}."
        + (_UNGATED if is_ungated else "")
    )
  values = []
  for key, (variable, convert) in targets.items():
    name = entries[key]
    value = _converted(np.asarray(state[name]), convert)
    if value is None or value.shape != tuple(variable.shape):
      raise ValueError(
          f"{name} has shape {np.shape(state[name])}, which does not fit "
          f"{variable.path} of shape {tuple(variable.shape)}."
      )
    values.append((variable, value))
  for variable, value in values:
    variable.assign(value)


def _converted(value, convert):
  try:
    return convert(value)
  except (ValueError, IndexError, TypeError):
    return None


def canonical_name(name: str) -> str:
  """The name of an entry in torchvision's naming, without wrappers."""
  for pattern, replacement in _SYNONYMS:
    name = pattern.sub(replacement, name)
  return name


def _with_synonym(key):
  other = re.sub(r"^fc\.", "linear.", key.replace(".shortcut.", ".downsample."))
  return key if other == key else f"{key} (or {other})"


def _some(names, most=5):
  if not names:
    return "none"
  more = f" and {len(names) - most} more" if len(names) > most else ""
  return ", ".join(names[:most]) + more


def block_prefix(block: blocks.GatedResidual) -> str:
  """What the canonical names of a block's entries begin with: `layer1.0.`."""
  match = _BLOCK.fullmatch(block.name)
  if match is None:
    raise ValueError(
        "PyTorch's names of weights are of our ResNets, whose blocks are "
        f"stage1_block0, ... Received a network with a block {block.name}."
    )
  stage, index = match.groups()
  return f"layer{stage}.{index}."


def _targets(model, fresh_gates):
  """Canonical name -> (variable, conversion from PyTorch's layout)."""
  targets = {
      **_conv("conv1", model.get_layer("stem_conv")),
      **_norm("bn1", model.get_layer("stem_bn")),
      **_dense("fc", model.get_layer("classifier")),
  }
  for block in graphs.gated_blocks(model):
    prefix = block_prefix(block)
    layers = {layer.name: layer for layer in block.branch.layers}
    for name, layer in layers.items():
      if re.fullmatch(r"conv\d", name):
        targets |= _conv(prefix + name, layer)
      elif re.fullmatch(r"bn\d", name):
        targets |= _norm(prefix + name, layer)
    if block.shortcut is not None:
      targets |= _conv(f"{prefix}shortcut.0", block.shortcut.get_layer("conv"))
      targets |= _norm(f"{prefix}shortcut.1", block.shortcut.get_layer("bn"))
    if block.gate is not None and not fresh_gates:
      targets |= _gate(prefix, block.gate)
  return targets


def _gate(prefix, gate):
  if not isinstance(gate, data_dependent_gate.DataDependentGate):
    raise ValueError(
        "PyTorch weights of gates are of data-dependent ones. Received: "
        f"{gate.path}, a {type(gate).__name__}. Pass fresh_gates=True to "
        "leave it as it is."
    )
  return {
      # A 1x1 convolution on the pooled input, which is a dense layer.
      f"{prefix}fc1.weight": (gate.hidden.kernel, lambda v: _matrix(v).T),
      f"{prefix}fc1.bias": (gate.hidden.bias, _same),
      **_norm(f"{prefix}fc1bn", gate.norm),
      f"{prefix}fc2.weight": (
          gate.logit.kernel,
          lambda v: _execute_less_bypass(_matrix(v))[:, None],
      ),
      f"{prefix}fc2.bias": (
          gate.logit.bias,
          lambda v: _execute_less_bypass(v)[None],
      ),
  }


def _execute_less_bypass(value):
  if len(value) != 2:
    raise ValueError("two logits expected")
  return value[1] - value[0]


def _matrix(value):
  return value.reshape(value.shape[:2]) if value.ndim == 4 else value


def _same(value):
  return value


def _conv(name, layer):
  return {f"{name}.weight": (layer.kernel, lambda v: v.transpose(2, 3, 1, 0))}


def _dense(name, layer):
  return {
      f"{name}.weight": (layer.kernel, np.transpose),
      f"{name}.bias": (layer.bias, _same),
  }


def _norm(name, layer):
  return {
      f"{name}.weight": (layer.gamma, _same),
      f"{name}.bias": (layer.beta, _same),
      f"{name}.running_mean": (layer.moving_mean, _same),
      f"{name}.running_var": (layer.moving_variance, _same),
  }
