"""Training and evaluation of gated networks."""

from typing import Any
import warnings

import keras
import tensorflow as tf

from pgates import graphs
from pgates.costs import model_macs
from pgates.layers import replicas
from pgates.layers import sublayers
from pgates.training import batches
from pgates.training import distillation as distillation_lib
from pgates.training import listed_logs
from pgates.training import logs as logs_lib
from pgates.training import loss_scaling
from pgates.training import losses as losses_lib
from pgates.training import metrics as metrics_lib
from pgates.training import model_checks
from pgates.training import model_metrics
from pgates.training import objective
from pgates.training import step_functions
from pgates.training import task_losses


@keras.saving.register_keras_serializable(package="pgates")
class GatedModel(listed_logs.ListedModel):
  """A functional model that trains task loss and rate of open gates together.

  `GatedModel(inputs, gated_outputs(logits, gates, gate_logits))`; there may be
  further outputs, with losses of their own. The rate is that of the global
  batch: sums and counts of gates are reduced over replicas before the penalty,
  through which the gradient flows back. The task loss is divided by the
  examples of the global batch. So a batch split over replicas trains as an
  undivided one, as far as its batch norm is synchronised.

  On one replica `task_loss` is what Keras computes: `loss(labels, logits,
  sample_weight)`, plus the regularisation, for any `keras.losses.Loss`. Labels
  are a tensor for the one output that has a loss, or a dictionary by the names
  of outputs; so are sample weights, or a tensor for all outputs. Weights are
  one for each example, or for each value of the loss.

  Logged are `loss`, `task_loss`, the loss of each output where several have
  one (`logits_loss`, ...), `rate_loss`, `accuracy` (of the logits, where they
  are of classes, over the examples that have not the loss's `ignore_class`),
  `open_rate` and `macs` (mean executed multiply-adds per example; not where
  sizes of the inputs are not fixed).

  Args:
    *args: of a functional `keras.Model`: inputs and outputs.
    **kwargs: the same.

  Raises:
    ValueError: if the outputs are not those of `gated_outputs`, their columns
      are not as many as the gated blocks, or a layer has its channels first.
  """

  def __init__(self, *args: Any, **kwargs: Any):
    super().__init__(*args, **kwargs)
    model_checks.check_outputs(self.output, graphs.OUTPUTS[1:])
    sublayers.check_channels_last(self.layers, where="the model")
    self._macs = None

  @property
  def macs(self) -> model_macs.ModelMacs:
    """The `pgates.ModelMacs` of the model."""
    if self._macs is None:
      self._macs = model_macs.count_macs(self)
    return self._macs

  def compile(
      self,
      optimizer: str | keras.optimizers.Optimizer = "rmsprop",
      loss: keras.losses.Loss | dict[str, keras.losses.Loss] | None = None,
      *,
      loss_weights: dict[str, float] | None = None,
      rate_loss: losses_lib.TargetRateLoss | None = None,
      distillation: distillation_lib.Distillation | None = None,
      metrics: list | dict[str, list] | None = None,
      weighted_metrics: list | dict[str, list] | None = None,
      **options: Any,
  ) -> None:
    """Configures training.

    Args:
      optimizer: a Keras optimizer or its name.
      loss: a `keras.losses.Loss` between labels and logits, or a dictionary of
        them by the names of outputs; None for sparse categorical
        cross-entropy of logits. It may return a value for each example, or
        for each place in an example (of logits [batch, height, width,
        classes]); one for the whole batch only on one replica.
      loss_weights: factors of the losses by the names of outputs; 1 if absent.
      rate_loss: a `pgates.TargetRateLoss`, or None.
      distillation: a `pgates.Distillation`, whose teacher's logits are
        imitated in training, or None. A file of the model leaves it out.
      metrics: list of further Keras metrics, functions or names, of labels
        and logits; or a dictionary of lists by the names of outputs. As in
        Keras, sample weights do not count. An accuracy with the name
        "accuracy" is logged in place of ours.
      weighted_metrics: the same, where sample weights count.
      **options: `run_eagerly`, `steps_per_execution`, `jit_compile` and
        `auto_scale_loss` of `keras.Model.compile`.

    Raises:
      ValueError: if a loss expects probabilities, does not fit its output or
        cannot be split over the replicas, the targets do not fit the blocks,
        or a metric has the name of a log, or a teacher does not fit.
    """
    losses = task_losses.by_output(loss, self.output)
    self._check(losses, loss_weights, rate_loss)
    if distillation is not None:
      distillation.check(self, losses)
    counted = self.macs if model_checks.has_fixed_sizes(self) else None
    given = self._given(metrics=metrics, weighted_metrics=weighted_metrics)
    with self.distribute_strategy.scope():
      logs = logs_lib.Logs(losses, given, self.output, counted)
    super().compile(optimizer=optimizer, **options)
    self._compile_options = options
    self.task_loss = losses["logits"] if list(losses) == ["logits"] else losses
    self.loss_weights = dict(loss_weights or {})
    self.rate_loss = rate_loss
    self.distillation = distillation
    self.given_metrics = given
    self._objective = objective.Objective(losses, self.loss_weights, rate_loss)
    self._logs = logs

  def _check(self, losses, loss_weights, rate_loss):
    names = [block.name for block in graphs.gated_calls(self)]
    model_checks.check_columns(self.output["gates"], names)
    num_replicas = self.distribute_strategy.num_replicas_in_sync
    for name, each in losses.items():
      task_losses.check_fits(each, self.output[name], num_replicas=num_replicas)
    model_checks.check_loss_weights(loss_weights, losses)
    if rate_loss is not None:
      model_checks.check_targets(rate_loss, self)

  def _given(self, **metrics):
    with self.distribute_strategy.scope():
      return {
          argument: model_metrics.by_output(
              value, self.output, argument=argument
          )
          for argument, value in metrics.items()
      }

  def get_compile_config(self) -> dict[str, Any] | None:
    if not self.compiled:
      return None
    serialize = keras.saving.serialize_keras_object
    return {
        "optimizer": serialize(self.optimizer),
        "loss": serialize(self.task_loss),
        "loss_weights": self.loss_weights,
        "rate_loss": serialize(self.rate_loss),
        **{
            name: serialize(value) for name, value in self.given_metrics.items()
        },
        **self._compile_options,
    }

  def compile_from_config(self, config: dict[str, Any]) -> None:
    deserialize = keras.saving.deserialize_keras_object
    names = ("optimizer", "loss", "rate_loss", "metrics", "weighted_metrics")
    objects = {
        name: deserialize(config[name]) for name in names if name in config
    }
    self.compile(**{**config, **objects})
    self.optimizer.build(self.trainable_variables)

  @property
  def metrics(self) -> list[keras.metrics.Metric]:
    # Keras's list holds a second "loss", and those of every `compile`.
    return self._logs.metrics if self.compiled else []

  @property
  def metrics_names(self) -> list[str]:
    """Of the list that `evaluate` and `train_on_batch` return."""
    return self._logs.names if self.compiled else []

  def list_logs(self, logs: dict[str, Any]) -> list[Any]:
    return self._logs.listed(logs)

  @property
  def gate_open_rates(self) -> metrics_lib.GateOpenRates:
    """The metric of the share of examples for which each block ran."""
    return self._logs.gate_open_rates

  def train_step(self, data: Any) -> dict[str, tf.Tensor]:
    images, labels, weights = self._unpack(data)
    with replicas.global_batch(_batch_size(images)) as place:
      # Not on the tape, which would keep what the teacher computes.
      taught = self.distillation and self.distillation.teach(images, place)
      with tf.GradientTape() as tape:
        outputs = self._forward(images, place, training=True)
        losses, task, rate = self._shares(
            outputs, labels, weights, place, taught
        )
        # Gradients are summed over replicas: each brings its share.
        loss = task + tf.cast(rate, task.dtype) / replicas.num_replicas()
        scaled = self.optimizer.scale_loss(loss)
      self._learn(tape, scaled)
    self._logs.record_losses(losses, task, rate, place)
    return self._record(outputs, labels, weights)

  def _learn(self, tape, loss):
    variables = self.trainable_variables
    if not variables:
      # As Keras does; optimizers fail on no gradients at all.
      warnings.warn(
          "The model does not have any trainable weights.", stacklevel=2
      )
      return
    gradients = tape.gradient(loss, variables)
    gradients = loss_scaling.equally_finite(self.optimizer, gradients)
    self.optimizer.apply_gradients(zip(gradients, variables, strict=True))

  def test_step(self, data: Any) -> dict[str, tf.Tensor]:
    images, labels, weights = self._unpack(data)
    with replicas.global_batch(_batch_size(images)) as place:
      outputs = self._forward(images, place, training=False)
      losses, task, rate = self._shares(outputs, labels, weights, place)
    self._logs.record_losses(losses, task, rate, place)
    return self._record(outputs, labels, weights)

  def predict_step(self, data: Any) -> dict[str, tf.Tensor]:
    images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    with replicas.global_batch(_batch_size(images)) as place:
      return self._forward(images, place, training=False)

  def _forward(self, images, place, *, training):
    return replicas.call_on_some(
        lambda padded: self(padded, training=training),
        images,
        place.local_size,
    )

  def _unpack(self, data):
    """Images, and labels and weights by the names of outputs."""
    names = [*self._objective.losses]
    names += [each.output for each in self._logs.further]
    return batches.unpack(data, list(dict.fromkeys(names)))

  def _shares(self, outputs, labels, weights, place, taught=None):
    """This replica's losses: by output, all together, and of the rate."""
    losses = self._objective.task_losses(outputs, labels, weights)
    if taught is not None:
      losses["logits"] = self.distillation.mix(
          self._objective.losses["logits"],
          losses["logits"],
          taught,
          outputs["logits"],
          weights["logits"],
      )
    task = self._objective.task(losses, self.losses)
    rate = self._objective.rate(
        outputs["gates"],
        place,
        self._logs.branches,
        step=0 if self.optimizer is None else self.optimizer.iterations,
    )
    return losses, task, rate

  def _record(self, outputs, labels, weights):
    self._logs.record(outputs, labels, weights)
    return self.get_metrics_result()

  def get_metrics_result(self) -> dict[str, tf.Tensor]:
    return self._logs.results()

  def make_train_function(
      self, force: bool = False
  ) -> step_functions.StepFunction:
    if self.train_function is None or force:
      self.train_function = step_functions.step_function(
          self, self.train_step, check=True
      )
    return self.train_function

  def make_test_function(
      self, force: bool = False
  ) -> step_functions.StepFunction:
    if self.test_function is None or force:
      self.test_function = step_functions.step_function(
          self, self.test_step, check=False
      )
    return self.test_function


def _batch_size(images):
  return tf.shape(keras.tree.flatten(images)[0])[0]
