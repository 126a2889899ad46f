"""A training run: from a configuration to the files of its folder."""

import contextlib
import dataclasses
import importlib.metadata
import pathlib
import signal
import sys

import keras
import numpy as np

from file_io import artifacts
from file_io import locks
import image_data
import pgates
from run_data import reader
from run_data import trained_data
from trainers.settings import config as config_lib
from trainers.training import batches
from trainers.training import distribution
from trainers.training import gate_probe
from trainers.training import initial_weights
from trainers.training import loop as loop_lib
from trainers.training import networks
from trainers.training import optimization
from trainers.training import run_checkpoints
from trainers.training import tensorboard

_PACKAGES = ("tensorflow", "keras", "tensorflow-probability", "numpy")
# What a shell reports for a process that SIGTERM ended.
STOPPED_EXIT_CODE = 128 + signal.SIGTERM
# EX_TEMPFAIL of sysexits.h: to be tried again.
WORKER_LOST_EXIT_CODE = 75


def run(
    config,
    workdir,
    *,
    keep_checkpoints=2,
    checkpoint_steps=1000,
    max_bad_examples=None,
    data_service=None,
):
  """Trains the network of a configuration, or continues where it was.

  Of several workers, which share the folder, the first writes.

  `model.keras` holds the weights after the last epoch, `best.keras` those of
  the epoch with the highest validation accuracy; with an average
  (`ema_momentum`), the averaged ones.

  Args:
    config: a `Config`.
    workdir: the folder of the run.
    keep_checkpoints: how many of the newest stay.
    checkpoint_steps: after how many steps within an epoch one is written.
    max_bad_examples: how many may be skipped; None for any number.
    data_service: address of a `tf.data` service's dispatcher, or None.

  Raises:
    ValueError: if the folder holds another run, a setting does not fit, or
      more examples than allowed cannot be read.
    FileNotFoundError: if the data set is not prepared.
    OSError: if a file cannot be written, what was saved before stays; if one
      of the data set is damaged; or if another process has the folder.
    loop.Stopped: after SIGTERM (of any worker), when the state is saved.
    distribution.WorkerLost: if another worker is gone.
    FloatingPointError: if a loss is not finite.
  """
  workdir = pathlib.Path(workdir).expanduser()
  check_same_run(config, workdir)
  if data_service and config.distribution == "multi_worker":
    raise ValueError(
        "--data_service is for one process: several workers would not agree "
        "on the batches. Leave it out, or --distribution=multi_worker."
    )
  keras.config.set_dtype_policy(config.precision)
  strategy = distribution.make_strategy(
      config.distribution, num_virtual_devices=config.num_virtual_devices
  )
  writes = distribution.is_chief(strategy)
  bad_examples = image_data.BadExamples(max_bad_examples)
  with (
      locks.only_one(workdir) if writes else contextlib.nullcontext(),
      distribution.naming_lost_workers(strategy),
      bad_examples.explained(),
  ):
    model, dataset, steps_per_epoch = _open(config, strategy, workdir)
    checkpoints = run_checkpoints.RunCheckpoints(
        workdir / "checkpoints",
        model,
        steps_per_epoch=steps_per_epoch,
        keep=keep_checkpoints,
        writes=writes,
    )
    position = checkpoints.restore()
    train = batches.training_batches(
        config,
        dataset,
        first_step=position.epoch * steps_per_epoch + position.step,
        bad_examples=bad_examples,
        data_service=data_service,
    )
    validation = batches.validation_batches(
        config, dataset, bad_examples=bad_examples
    )
    files = {"epoch_writer": None}
    if writes:
      _write_config(config, dataset, workdir)
      files = {
          "epoch_writer": _epoch_writer(
              config, dataset, model, workdir, bad_examples
          ),
          "save_best": lambda: save_model(model, workdir / "best.keras"),
      }
    loop = loop_lib.Loop(
        model,
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        checkpoints=checkpoints,
        history_path=workdir / "history.jsonl",
        checkpoint_steps=checkpoint_steps,
        **files,
    )
    if position != run_checkpoints.Position():
      print(
          f"Continuing after epoch {position.epoch}, step {position.step}.",
          flush=True,
      )
    with _stop_on_sigterm(loop):
      loop.run(
          train,
          validation,
          position=position,
          callbacks=_callbacks(config, steps_per_epoch),
      )
  if bad_examples.names:
    print(f"Skipped {len(bad_examples.names)} examples; the log names them.")
  if writes:
    save_model(model, workdir / "model.keras")
    print(f"Wrote {workdir / 'model.keras'}.", flush=True)


def _open(config, strategy, workdir):
  """The network, the data set, and the steps of an epoch."""
  dataset = image_data.open_dataset(config.dataset, data_dir=config.data_dir)
  reader.check_to_continue(workdir, dataset)
  begins = not run_checkpoints.existing(workdir / "checkpoints")
  steps_per_epoch = image_data.steps_per_epoch(
      dataset, batch_size=config.batch_size
  )
  # Not earlier: TFDS draws from the same generators when it prepares data.
  keras.utils.set_random_seed(config.seed)
  with strategy.scope():
    model = make_model(
        config, dataset, steps_per_epoch=steps_per_epoch, begins=begins
    )
  return model, dataset, steps_per_epoch


def save_model(model, path):
  """Writes a model whole; with the averaged weights, where there are some.

  Args:
    model: a compiled `pgates.GatedModel`, which stays as it is.
    path: of the `.keras` file.
  """
  trained = [np.asarray(variable) for variable in model.trainable_weights]
  model.optimizer.finalize_variable_values(model.trainable_weights)
  try:
    with artifacts.replacing(path) as temporary:
      model.save(temporary)
  finally:
    for variable, value in zip(model.trainable_weights, trained, strict=True):
      variable.assign(value)


def check_same_run(config, workdir):
  """Refuses a folder that holds a run of other settings.

  Raises:
    ValueError: names the differences.
  """
  theirs = reader.read_settings(workdir)
  if not theirs:
    return
  found = config_lib.differences(dataclasses.asdict(config), theirs)
  if found:
    raise ValueError(
        f"{workdir} holds a run of other settings: {'; '.join(found)}. Give "
        "the same flags to continue it, or another --workdir."
    )


def make_model(config, dataset, *, steps_per_epoch, begins=True):
  """Builds and compiles the network of a configuration for a data set.

  Args:
    config: a `Config`.
    dataset: an `image_data.ImageDataset`.
    steps_per_epoch: of the run.
    begins: whether it takes the weights of `init_from`, which a checkpoint
      would replace.

  Returns:
    A compiled `pgates.GatedModel`.
  """
  size = config.image_size
  shape = dataset.image_shape
  if size is not None:
    shape = (size, size, shape[-1])
  if None in shape:
    raise ValueError(
        f"The images of {config.dataset} differ in size: {shape}. Give "
        "--image_size."
    )
  model = networks.build_network(
      config, image_shape=shape, num_classes=dataset.num_classes
  )
  if config.init_from and begins:
    initial_weights.load_initial_weights(model, config.init_from)
  model.compile(
      optimization.make_optimizer(config, steps_per_epoch=steps_per_epoch),
      optimization.make_loss(config),
      rate_loss=config_lib.rate_loss(config),
      jit_compile=config.jit_compile,
  )
  model.optimizer.build(model.trainable_variables)
  return model


def _epoch_writer(config, dataset, model, workdir, bad_examples):
  gated = any(b.gate is not None for b in pgates.gated_blocks(model))
  probed = batches.evaluation_examples(
      config, dataset, "validation", bad_examples=bad_examples
  )
  return tensorboard.EpochWriter(
      workdir / "tensorboard",
      block_names=model.macs.names,
      settings=dataclasses.asdict(config),
      probe=gate_probe.GateProbe(model, probed) if gated else None,
      num_classes=dataset.num_classes,
  )


def _write_config(config, dataset, workdir):
  if (workdir / "config.json").exists():
    return
  artifacts.write_json(
      workdir / "config.json",
      {
          "settings": dataclasses.asdict(config),
          "data": trained_data.describe(dataset),
          "command": sys.argv,
          "versions": {
              "python": sys.version.split()[0],
              **{name: importlib.metadata.version(name) for name in _PACKAGES},
          },
      },
  )


def _callbacks(config, steps_per_epoch):
  found = []
  schedule = optimization.temperature_schedule(
      config, steps_per_epoch=steps_per_epoch
  )
  if schedule is not None:
    found.append(pgates.TemperatureSchedule(schedule))
  if config.ema_momentum:
    found.append(keras.callbacks.SwapEMAWeights())
  return found


@contextlib.contextmanager
def _stop_on_sigterm(loop):
  """Asks a loop to stop when SIGTERM comes."""
  previous = signal.signal(signal.SIGTERM, lambda *_: loop.request_stop())
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, previous)
