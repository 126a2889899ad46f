"""A training run: from a configuration to the files of its folder."""

import contextlib
import dataclasses
import os
import pathlib
import signal

import keras

from file_io import endings
from file_io import locks
from file_io import writable
import image_data
import pgates
from run_data import reader
from run_data import trained_data
from trainers.settings import config as config_lib
from trainers.training import batches
from trainers.training import cluster
from trainers.training import distribution
from trainers.training import gate_probe
from trainers.training import input_scaling
from trainers.training import loop as loop_lib
from trainers.training import networks
from trainers.training import optimization
from trainers.training import restoring
from trainers.training import run_checkpoints
from trainers.training import run_files
from trainers.training import tensorboard

# What a shell reports for a process that SIGTERM ended.
STOPPED_EXIT_CODE = 128 + signal.SIGTERM
# EX_TEMPFAIL of sysexits.h: to be tried again.
WORKER_LOST_EXIT_CODE = 75


def run(
    config: config_lib.Config,
    workdir: str | os.PathLike,
    *,
    keep_checkpoints: int = 2,
    checkpoint_steps: int = 1000,
    max_bad_examples: int | None = None,
    data_service: str | None = None,
    cluster_timeout: int = 600,
) -> None:
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
    cluster_timeout: seconds that several workers wait for each other.

  Raises:
    ValueError: if the folder holds another run, a setting does not fit, or
      more examples than allowed cannot be read.
    FileNotFoundError: if the data set is not prepared.
    OSError: if a file cannot be written, what was saved before stays; if one
      of the data set is damaged; or if another process has the folder.
    loop.Stopped: after SIGTERM or SIGHUP (of any worker), when the state is
      saved.
    cluster.WorkerLost: if another worker is gone, or never came.
    FloatingPointError: if a loss is not finite.
  """
  workdir = pathlib.Path(workdir).expanduser()
  config = run_files.settings_to_continue(config, workdir)
  if data_service and config.distribution == "multi_worker":
    raise ValueError(
        "--data_service is for one process: several workers would not agree "
        "on the batches. Omit it, or --distribution=multi_worker."
    )
  reader.import_modules(config.import_modules)
  keras.config.set_dtype_policy(config.precision)
  strategy = distribution.make_strategy(
      config.distribution,
      num_virtual_devices=config.num_virtual_devices,
      cluster_timeout=cluster_timeout,
  )
  is_chief = distribution.is_chief(strategy)
  if is_chief:
    for name in run_files.NAMES:
      writable.check_file(workdir / name, instead="--workdir")
  bad_examples = image_data.BadExamples(max_bad_examples)
  with (
      locks.only_one(workdir) if is_chief else contextlib.nullcontext(),
      cluster.naming_lost_workers(strategy),
      bad_examples.explained(),
  ):
    opened = _Opened(config, strategy, workdir, bad_examples)
    opened.train(
        keep_checkpoints=keep_checkpoints,
        checkpoint_steps=checkpoint_steps,
        data_service=data_service,
    )
  if bad_examples.names:
    print(f"Skipped {len(bad_examples.names)} examples; the log names them.")
  if is_chief:
    run_files.save_model(opened.model, workdir / "model.keras")
    print(f"Wrote {workdir / 'model.keras'}.", flush=True)


class _Opened:
  """A run whose network and data are there."""

  def __init__(self, config, strategy, workdir, bad_examples):
    self._config = config
    self._workdir = workdir
    self._bad_examples = bad_examples
    self._is_chief = distribution.is_chief(strategy)
    self._dataset = image_data.open_dataset(
        config.dataset,
        data_dir=config.data_dir,
        idx_folder=config.idx_folder,
        **reader.rules(dataclasses.asdict(config)),
    )
    reader.check_to_continue(workdir, self._dataset)
    begins = not run_checkpoints.existing(workdir / "checkpoints")
    is_folder = isinstance(self._dataset, image_data.ImageFolder)
    if begins and is_folder and self._is_chief:
      print(trained_data.counts(self._dataset), flush=True)
    self._steps_per_epoch = image_data.steps_per_epoch(
        self._dataset, batch_size=config.batch_size
    )
    if begins:
      input_scaling.check(config, self._dataset, bad_examples=bad_examples)
    # Not earlier: TFDS draws from the same generators when it prepares data.
    keras.utils.set_random_seed(config.seed)
    with strategy.scope():
      self.model = networks.make_model(
          config,
          self._dataset,
          steps_per_epoch=self._steps_per_epoch,
          begins=begins,
          workdir=workdir,
      )

  def train(self, *, keep_checkpoints, checkpoint_steps, data_service):
    """Trains from where the run is to its end."""
    checkpoints = run_checkpoints.RunCheckpoints(
        self._workdir / "checkpoints",
        self.model,
        steps_per_epoch=self._steps_per_epoch,
        keep=keep_checkpoints,
        writes=self._is_chief,
    )
    position = restoring.restore(checkpoints, self.model)
    train, validation = self._batches(position, data_service)
    loop = loop_lib.Loop(
        self.model,
        epochs=self._config.epochs,
        steps_per_epoch=self._steps_per_epoch,
        checkpoints=checkpoints,
        checkpoint_steps=checkpoint_steps,
        files=self._files() if self._is_chief else run_files.NoFiles(),
    )
    if position != run_checkpoints.Position():
      print(
          f"Continuing after epoch {position.epoch}, step {position.step}.",
          flush=True,
      )
    history = checkpoints.history(position)
    if history is not None and self._is_chief:
      run_files.restore_history(self._workdir, history)
    if history is None:  # An older checkpoint, or none.
      history = run_files.read_history(self._workdir)[: position.epoch]
    with endings.handling(lambda *_: loop.request_stop()):
      loop.run(
          train,
          validation,
          position=position,
          history=history,
          callbacks=_callbacks(self._config, self._steps_per_epoch),
      )

  def _batches(self, position, data_service):
    train = batches.training_batches(
        self._config,
        self._dataset,
        first_step=position.epoch * self._steps_per_epoch + position.step,
        bad_examples=self._bad_examples,
        data_service=data_service,
    )
    validation = batches.validation_batches(
        self._config, self._dataset, bad_examples=self._bad_examples
    )
    batches.check_readable(validation, self._dataset)
    return train, validation

  def _files(self):
    run_files.write_config(self._config, self._dataset, self._workdir)
    best = self._workdir / "best.keras"
    return run_files.RunFiles(
        self._workdir,
        self._epoch_writer(),
        save_best=lambda: run_files.save_model(self.model, best),
    )

  def _epoch_writer(self):
    has_gates = any(b.gate is not None for b in pgates.gated_blocks(self.model))
    probed = batches.evaluation_examples(
        self._config,
        self._dataset,
        "validation",
        bad_examples=self._bad_examples,
    )
    return tensorboard.EpochWriter(
        self._workdir / "tensorboard",
        block_names=self.model.macs.names,
        settings=dataclasses.asdict(self._config),
        probe=gate_probe.GateProbe(self.model, probed) if has_gates else None,
        num_classes=self._dataset.num_classes,
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
