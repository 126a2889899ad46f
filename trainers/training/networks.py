"""The network of a configuration."""

import pgates
from pgates.layers import gate_kinds
from pgates.layers import gates
from trainers.settings import config as config_lib


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
  settings = gates.GateSettings(
      temperature=config.temperature,
      initial_probability=config.initial_probability,
      synchronized=config.sync_batch_norm,
  )
  return gate_kinds.factory(config.gate, settings)
