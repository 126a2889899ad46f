"""What a configuration would do, shown before it is done."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

import image_data
import pgates
from run_data import reader
from trainers.settings import config as config_lib
from trainers.training import networks

_EXAMPLES = 8  # Of the synthetic batch: one step of 256 may take minutes.


def dry_run(config: config_lib.Config) -> None:
  """Prints a resolved recipe, and trains one step on synthetic images.

  Nothing is written. The data set need not be prepared; what depends on it is
  then said to be unknown.

  Args:
    config: a `Config`.

  Raises:
    FileNotFoundError: if `init_from` or `distill_from` names no file.
    ValueError: if a setting does not fit.
    FloatingPointError: if the loss of the step is not finite.
  """
  reader.import_modules(config.import_modules)
  keras.config.set_dtype_policy(config.precision)
  keras.utils.set_random_seed(config.seed)
  features = image_data.dataset_features(
      config.dataset, data_dir=config.data_dir
  )
  steps = _steps_per_epoch(config)
  # The schedules need a number; one step sees only their beginning.
  model = networks.make_model(config, features, steps_per_epoch=steps or 1000)
  for name, value in dataclasses.asdict(config).items():
    print(f"{name:<32}{value}")
  for name, value in _facts(config, model, steps).items():
    print(f"{name:<32}{value}")
  loss = _train_one_step(config, model, features.num_classes)
  print(f"One step on {_EXAMPLES} synthetic images: loss {loss:.4f}.")


def _steps_per_epoch(config):
  try:
    dataset = image_data.open_dataset(
        config.dataset,
        data_dir=config.data_dir,
        idx_folder=config.idx_folder,
    )
  except FileNotFoundError:
    return None
  return image_data.steps_per_epoch(dataset, batch_size=config.batch_size)


def _facts(config, model, steps):
  macs = model.macs
  unknown = f"unknown: {config.dataset} is not prepared in {config.data_dir}"
  facts = {
      "parameters": f"{model.count_params():,}",
      "blocks": len(macs.branches),
      "MACs, all gates open": f"{macs.dense:,}",
  }
  if config.learned_gates and config.rate_loss != "none":
    targets = np.broadcast_to(config.target_rates, len(macs.branches))
    expected = macs.always + float(np.dot(targets, macs.branches))
    facts["MACs at the target rates"] = f"{expected:,.0f}"
  facts["steps an epoch"] = f"{steps:,}" if steps else unknown
  facts["steps"] = f"{steps * config.epochs:,}" if steps else unknown
  gigabytes = estimated_bytes(config, model) / 1e9
  facts["memory, about"] = f"{gigabytes:.1f} GB over all replicas"
  return facts


def estimated_bytes(config: config_lib.Config, model: pgates.GatedModel) -> int:
  """Estimates what training holds in memory.

  Weights, gradients and momentum (and an average, if asked for), and every
  output of every layer for each example of the batch; not what the kernels
  need to work.

  Args:
    config: a `Config`.
    model: its network.

  Returns:
    A number of bytes.
  """
  copies = 3 + (config.ema_momentum > 0)
  width = 4 if config.precision == "float32" else 2
  activations = config.batch_size * _output_elements(model) * width
  return 4 * copies * model.count_params() + activations


def _output_elements(layer):
  """Numbers of one example that a layer and those inside it put out."""
  if isinstance(layer, pgates.GatedResidual):
    parts = [p for p in (layer.branch, layer.shortcut) if p is not None]
    # The sum and its activation.
    return 2 * _elements(layer.output[0]) + sum(map(_output_elements, parts))
  if isinstance(layer, keras.Model):
    return sum(map(_output_elements, layer.layers))
  return sum(_elements(tensor) for tensor in keras.tree.flatten(layer.output))


def _elements(tensor):
  return int(np.prod(tensor.shape[1:]))


def _train_one_step(config, model, num_classes):
  rng = np.random.default_rng(config.seed)
  shape = (_EXAMPLES, *model.inputs[0].shape[1:])
  images = rng.uniform(0, 255, shape).astype(np.float32)
  labels = tf.constant(rng.integers(num_classes, size=_EXAMPLES))
  if config.soft_labels:
    labels = tf.one_hot(labels, num_classes)
  logs = model.train_on_batch(images, labels, return_dict=True)
  loss = float(logs["loss"])
  if not np.isfinite(loss):
    raise FloatingPointError(f"The loss of the step is {loss}.")
  return loss
