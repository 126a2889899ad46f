"""The network of a configuration, and its first weights."""

import pathlib

import keras

import pgates
from trainers import config as config_lib


def build_network(config, *, image_shape, num_classes):
  """Builds the network of a configuration.

  Args:
    config: a `Config`.
    image_shape: (height, width, channels).
    num_classes: of the data set.

  Returns:
    A `pgates.GatedModel`, not compiled, its gates seeded.

  Raises:
    ValueError: if the configuration does not fit the network.
  """
  family, depth = config_lib.parse_network(config.network)
  normalization = None
  if config.normalization != "none":
    normalization = config.normalization
  arguments = {
      "num_classes": num_classes,
      "gate": _gate_factory(config),
      "input_shape": image_shape,
      "normalization": normalization,
      "always_open": config_lib.always_open_blocks(config),
      "synchronized": config.sync_batch_norm,
  }
  if family == "cifar_resnet":
    model = pgates.CifarResNet(depth, **arguments)
  else:
    model = getattr(pgates, f"ResNet{depth}")(**arguments)
  pgates.seed_gates(model, config.seed)
  return model


def _gate_factory(config):
  options = {"temperature": config.temperature, "name": "gate"}
  if config.initial_probability is not None:
    options["initial_probability"] = config.initial_probability
  if config.gate == "dependent":
    synchronized = config.sync_batch_norm
    return lambda i, n: pgates.DataDependentGate(
        synchronized=synchronized, **options
    )
  if config.gate == "independent":
    return lambda i, n: pgates.DataIndependentGate(**options)
  return config.gate


def load_initial_weights(model, path):
  """Takes the weights of another network; gates keep their own.

  Args:
    model: from `build_network`.
    path: a `.keras` file, or the workdir of a run.

  Raises:
    FileNotFoundError: if there is no model.
    ValueError: if a weight is missing there or has another shape; names it.
      The model is then as before.
  """
  path = pathlib.Path(path)
  if path.is_dir():
    path = path / "model.keras"
  if not path.is_file():
    raise FileNotFoundError(
        f"--init_from: there is no {path}. Give a .keras file or the workdir "
        "of a finished run."
    )
  theirs = _weights(keras.models.load_model(path, compile=False))
  pairs = []
  for name, variable in _weights(model).items():
    other = theirs.get(name)
    if other is None or other.shape != variable.shape:
      found = "missing" if other is None else f"of shape {tuple(other.shape)}"
      raise ValueError(
          f"--init_from: {name} of shape {tuple(variable.shape)} is {found} in "
          f"{path}. The networks must agree but for their gates."
      )
    pairs.append((variable, other))
  for variable, other in pairs:
    variable.assign(other)


def _weights(layer, prefix=""):
  """Weights but those of gates, by name; a reloaded model's paths differ."""
  if isinstance(layer, pgates.GatedResidual):
    parts = [layer.branch, layer.shortcut]
  elif isinstance(layer, keras.Model):
    parts = layer.layers
  else:
    return {f"{prefix}/{v.name}": v for v in layer.weights}
  found = {}
  for part in parts:
    if part is not None:
      found |= _weights(part, f"{prefix}/{part.name}".removeprefix("/"))
  return found
