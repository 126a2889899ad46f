"""Small training runs for the tests of the programs."""

import contextlib
import os
import signal

from absl import flags
from absl.testing import flagsaver
import keras
import pytest
import tensorflow as tf

from file_io import artifacts
import pgates
from trainers.settings import config_from_flags
from trainers.training import loop

# Of the 1,197 training images of `digits`: four steps an epoch.
TINY = ("--network=cifar_resnet8", "--batch_size=256", "--epochs=2")
STEPS_PER_EPOCH = 4

_GATES = {
    "dependent": pgates.DataDependentGate,
    "independent": pgates.DataIndependentGate,
    "stochastic_depth": lambda **kwargs: pgates.StochasticDepthGate(
        0.8, **kwargs
    ),
}


@contextlib.contextmanager
def parsed(*arguments):
  """Command-line arguments of a program, while the `with` lasts."""
  with flagsaver.flagsaver():
    flags.FLAGS(["program", *arguments])
    yield


def config(*arguments):
  """The `Config` that arguments of `trainers.train` make."""
  with parsed("--workdir=unused", *arguments):
    return config_from_flags.make_config()


def dense_network(config, *, image_shape=(8, 8, 1), num_classes=10):
  """Takes the place of `networks.build_network`: traced in a second."""
  images = keras.Input(image_shape, name="images")
  x = keras.layers.Rescaling(1 / 255)(images)
  x = keras.layers.Flatten()(x)
  x = keras.layers.Dense(8, activation="relu")(x)
  decisions = []
  for i in range(2):
    branch = [
        # The second costs more: shares of gates and of MACs differ.
        *[keras.layers.Dense(8) for _ in range(i + 1)],
        pgates.BatchNormalization(synchronized=config.sync_batch_norm),
    ]
    block = pgates.GatedResidual(
        keras.Sequential(branch), gate=_gate(config), name=f"block{i}"
    )
    x, *decision = block(x)
    decisions.append(decision)
  logits = keras.layers.Dense(num_classes, dtype="float32")(x)
  outputs = pgates.gated_outputs(logits, *zip(*decisions, strict=True))
  model = pgates.GatedModel(images, outputs)
  pgates.seed_gates(model, config.seed)
  return model


def _gate(config):
  if config.gate == "none":
    return None
  options = {"temperature": config.temperature, "name": "gate"}
  if config.gate == "dependent":
    options["synchronized"] = config.sync_batch_norm
  return _GATES[config.gate](**options)


def newest_state(workdir):
  """Every array of a run's newest checkpoint, as lists."""
  newest = max((workdir / "checkpoints").glob("step-*"))
  reader = tf.train.load_checkpoint(str(newest / "state"))
  names = set(reader.get_variable_to_shape_map())
  names.remove("_CHECKPOINTABLE_OBJECT_GRAPH")  # Holds names of layers.
  return {name: reader.get_tensor(name).tolist() for name in names}


def history(workdir):
  """The lines of `history.jsonl`, but for their times."""
  lines = artifacts.read_json_lines(workdir / "history.jsonl")
  times = ("seconds", "seconds_per_step")
  return [{k: v for k, v in line.items() if k not in times} for line in lines]


def small_model(seed=0):
  """A compiled `dense_network` that runs eagerly, which needs no tracing."""
  keras.utils.set_random_seed(seed)
  model = dense_network(config(f"--seed={seed}"))
  model.compile(
      pgates.CoupledSGD(0.05, momentum=0.9),
      rate_loss=pgates.TargetRateLoss(0.6),
      run_eagerly=True,
  )
  model.optimizer.build(model.trainable_variables)
  return model


def read_scalars(directory):
  """The scalars of event files: {(tag, step): value}."""
  found = {}
  for path in sorted(directory.glob("events.*")):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == "scalars":
          tensor = tf.make_ndarray(value.tensor)
          found[value.tag, event.step] = float(tensor)
  return found


@contextlib.contextmanager
def further_callbacks(*callbacks):
  """Adds callbacks to the runs made while the `with` lasts."""
  run = loop.Loop.run

  def run_with_them(self, *args, **kwargs):
    kwargs["callbacks"] = [*kwargs["callbacks"], *callbacks]
    run(self, *args, **kwargs)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(loop.Loop, "run", run_with_them)
    yield


@contextlib.contextmanager
def eagerly():
  """Functions run eagerly while the `with` lasts.

  To trace a network takes longer than to compute a few batches.
  """
  before = tf.config.functions_run_eagerly()
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(before)


class SigtermAt(keras.callbacks.Callback):
  """Sends this process SIGTERM, or another signal, after a step of the run."""

  def __init__(self, step, number=signal.SIGTERM):
    super().__init__()
    self._step = step
    self._number = number

  def on_train_batch_end(self, batch, logs=None):
    if int(self.model.optimizer.iterations.numpy()) == self._step:
      os.kill(os.getpid(), self._number)
