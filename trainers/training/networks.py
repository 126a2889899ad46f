"""The network of a configuration."""

import pathlib

import image_data
import pgates
from pgates.layers import gate_kinds
from pgates.layers import gates
from pgates.networks import networks
from pgates.residuals import gating
from trainers.settings import config as config_lib
from trainers.training import block_times
from trainers.training import initial_weights
from trainers.training import optimization


def build_network(
    config: config_lib.Config,
    *,
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> pgates.GatedModel:
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
  is_file = networks.file_of(config.network) is not None
  probability = config.initial_probability
  if probability is None and (is_file or config.init_from):
    probability = gating.TRAINED_PROBABILITY
  settings = gates.GateSettings(
      temperature=config.temperature,
      initial_probability=probability,
      synchronized=config.sync_batch_norm,
  )
  options = {}
  if is_file:
    options["input_scaling"] = config.input_scaling
    options["new_head"] = config.new_head
  elif not networks.is_of_others(config.network):
    is_raw = config.normalization == "none"
    options["normalization"] = None if is_raw else config.normalization
  model = pgates.build_network(
      config.network,
      num_classes,
      arguments=config.network_arguments,
      gate=gate_kinds.factory(config.gate, settings),
      input_shape=image_shape,
      always_open=always_open_blocks(config),
      synchronized=config.sync_batch_norm,
      **options,
  )
  pgates.seed_gates(model, config.seed)
  return model


def always_open_blocks(config: config_lib.Config) -> list[int]:
  """Indices of blocks that always run: those asked for, and targets of 1."""
  targets = config.target_rates if len(config.target_rates) > 1 else []
  ones = {i for i, target in enumerate(targets) if target == 1}
  return sorted(set(config.always_open) | ones)


def make_model(
    config: config_lib.Config,
    dataset: image_data.ImageDataset,
    *,
    steps_per_epoch: int,
    begins: bool = True,
    workdir: pathlib.Path | None = None,
) -> pgates.GatedModel:
  """Builds and compiles the network of a configuration for a data set.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    steps_per_epoch: of the run.
    begins: whether it takes the weights of `init_from`, which a checkpoint
      would replace.
    workdir: the folder of the run, which holds measured times, if it needs
      some; None for one that is not kept.

  Returns:
    A compiled `pgates.GatedModel`.

  Raises:
    FileNotFoundError: if there is no network to start or to learn from.
    ValueError: if a run that does not begin has lost its measured times, or
      what it starts or learns from does not fit.
  """
  model = build_network(
      config,
      image_shape=_image_shape(config, dataset),
      num_classes=dataset.num_classes,
  )
  if config.init_from and begins:
    initial_weights.load_initial_weights(model, config.init_from)
  times = None
  if config.rate_share == "time" and optimization.has_rate_loss(config):
    times = block_times.of_run(model, workdir, begins=begins)
  model.compile(
      optimization.make_optimizer(config, steps_per_epoch=steps_per_epoch),
      optimization.make_loss(config),
      rate_loss=optimization.make_rate_loss(
          config, steps_per_epoch=steps_per_epoch, block_times=times
      ),
      distillation=optimization.make_distillation(config),
      jit_compile=config.jit_compile,
  )
  model.optimizer.build(model.trainable_variables)
  return model


def _image_shape(config, dataset):
  size, shape = config.image_size, dataset.image_shape
  if size is not None:
    return (size, size, shape[-1])
  if None in shape:
    raise ValueError(
        f"The images of {config.dataset} differ in size: {shape}. Give "
        "--image_size."
    )
  return shape
