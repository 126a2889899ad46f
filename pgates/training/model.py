"""Training and evaluation of gated networks."""

import keras
import tensorflow as tf

from pgates.costs import model_macs
from pgates.layers import replicas
from pgates.training import accuracy as accuracy_lib
from pgates.training import metrics as metrics_lib
from pgates.training import model_checks
from pgates.training import model_metrics
from pgates.training import step_functions
from pgates.training import symbolic_build
from pgates.training import task_losses

LOGS = ("loss", "task_loss", "rate_loss", "accuracy", "open_rate", "macs")
OUTPUTS = ("logits", "gates", "gate_logits")


def gated_outputs(logits, gates, gate_logits):
  """The outputs of a `GatedModel`.

  Args:
    logits: [batch, classes].
    gates: list of [batch], one from each `GatedResidual`, in call order.
    gate_logits: list of [batch], in the same order.

  Returns:
    `{"logits": [batch, classes], "gates": [batch, blocks], "gate_logits":
    [batch, blocks]}`.
  """
  return {
      "logits": logits,
      "gates": keras.ops.stack(gates, axis=1),
      "gate_logits": keras.ops.stack(gate_logits, axis=1),
  }


@keras.saving.register_keras_serializable(package="pgates")
class GatedModel(symbolic_build.BuiltModel):
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
  `open_rate` and `macs` (mean executed multiply-adds per example).

  Args:
    *args: of a functional `keras.Model`: inputs and outputs.
    **kwargs: the same.

  Raises:
    ValueError: if the outputs are not those of `gated_outputs`, their columns
      are not as many as the gated blocks, or a layer has its channels first.
  """

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    model_checks.check_outputs(self.output, OUTPUTS)
    model_checks.check_channels(self.layers)
    self._macs = None

  @property
  def macs(self):
    """The `pgates.ModelMacs` of the model."""
    if self._macs is None:
      counted = model_macs.count_macs(self)
      model_checks.check_columns(self.output["gates"], counted)
      self._macs = counted
    return self._macs

  def compile(
      self,
      optimizer="rmsprop",
      loss=None,
      *,
      loss_weights=None,
      rate_loss=None,
      metrics=None,
      weighted_metrics=None,
      run_eagerly=False,
      steps_per_execution=1,
      jit_compile="auto",
      auto_scale_loss=True,
  ):
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
      metrics: list of further Keras metrics, functions or names, of labels
        and logits; or a dictionary of lists by the names of outputs. As in
        Keras, sample weights do not count.
      weighted_metrics: the same, where sample weights count.
      run_eagerly: as of `keras.Model.compile`.
      steps_per_execution: the same.
      jit_compile: the same.
      auto_scale_loss: the same.

    Raises:
      ValueError: if a loss expects probabilities, does not fit its output or
        cannot be split over the replicas, the targets do not fit the blocks,
        or a metric has the name of a log.
    """
    outputs = self.output
    losses = task_losses.by_output(loss, outputs)
    for name, each in losses.items():
      task_losses.check_fits(
          each,
          outputs[name],
          num_replicas=self.distribute_strategy.num_replicas_in_sync,
      )
    model_checks.check_loss_weights(loss_weights, losses)
    if rate_loss is not None:
      model_checks.check_targets(rate_loss, self)
    num_blocks = len(self.macs.branches)
    several = [f"{name}_loss" for name in losses] if len(losses) > 1 else []
    with self.distribute_strategy.scope():
      given = {
          argument: model_metrics.by_output(value, outputs, argument=argument)
          for argument, value in (
              ("metrics", metrics),
              ("weighted_metrics", weighted_metrics),
          )
      }
      further = model_metrics.logged(
          **given, losses=losses, outputs=outputs, logs=(*LOGS, *several)
      )
    options = {
        "run_eagerly": run_eagerly,
        "steps_per_execution": steps_per_execution,
        "jit_compile": jit_compile,
        "auto_scale_loss": auto_scale_loss,
    }
    super().compile(optimizer=optimizer, **options)
    self.task_loss = losses["logits"] if list(losses) == ["logits"] else losses
    self.loss_weights = dict(loss_weights or {})
    self.rate_loss = rate_loss
    self.given_metrics = given
    self._output_losses = losses
    self._compile_options = options
    with self.distribute_strategy.scope():
      self._means = [keras.metrics.Mean(name=name) for name in LOGS[:3]]
      self._means.append(
          accuracy_lib.Accuracy(losses.get("logits"), outputs["logits"])
      )
      self._output_loss_means = [
          keras.metrics.Mean(name=name) for name in several
      ]
      self.gate_open_rates = metrics_lib.GateOpenRates(num_blocks)
      self._logged = further
      # Keras saves what it finds in a list of metrics.
      self._further_metrics = [each.metric for each in further]

  def get_compile_config(self):
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

  def compile_from_config(self, config):
    deserialize = keras.saving.deserialize_keras_object
    names = ("optimizer", "loss", "rate_loss", "metrics", "weighted_metrics")
    objects = {
        name: deserialize(config[name]) for name in names if name in config
    }
    self.compile(**{**config, **objects})
    self.optimizer.build(self.trainable_variables)

  @property
  def metrics(self):
    # Keras's list holds a second "loss", and those of every `compile`.
    if not self.compiled:
      return []
    *losses, accuracy = self._means
    accuracies = [] if accuracy.kind is None else [accuracy]
    return [
        *losses,
        *accuracies,
        *self._output_loss_means,
        *self._further_metrics,
        self.gate_open_rates,
    ]

  @property
  def metrics_names(self):
    """Of the list that `evaluate` and `train_on_batch` return."""
    if not self.compiled:
      return []
    others = len(self._further_metrics) + 1
    names = [metric.name for metric in self.metrics[:-others]]
    further = [each.name for each in self._logged]
    return [*names, *further, "macs", "open_rate"]

  def train_step(self, data):
    images, labels, weights = self._unpack(data)
    with replicas.global_batch(_batch_size(images)) as place:
      with tf.GradientTape() as tape:
        outputs = self._forward(images, place, training=True)
        losses = self._task_losses(outputs, labels, weights)
        task = self._task_loss(losses)
        rate = self._rate_loss(outputs["gates"], place)
        # Gradients are summed over replicas: each brings its share.
        loss = task + tf.cast(rate, task.dtype) / replicas.num_replicas()
        scaled = self.optimizer.scale_loss(loss)
      variables = self.trainable_variables
      gradients = tape.gradient(scaled, variables)
      gradients = _equally_finite(self.optimizer, gradients)
      self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    self._record_losses(losses, task, rate, place)
    return self._record(outputs, labels, weights)

  def test_step(self, data):
    images, labels, weights = self._unpack(data)
    with replicas.global_batch(_batch_size(images)) as place:
      outputs = self._forward(images, place, training=False)
      losses = self._task_losses(outputs, labels, weights)
      rate = self._rate_loss(outputs["gates"], place)
    self._record_losses(losses, self._task_loss(losses), rate, place)
    return self._record(outputs, labels, weights)

  def predict_step(self, data):
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
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    names = [each.output for each in self._logged]
    names = list(dict.fromkeys([*self._output_losses, *names]))
    labels = task_losses.by_name(labels, names, what="labels")
    if not isinstance(weights, dict):
      weights = dict.fromkeys(names, weights)
    weights = {name: weights.get(name) for name in names}
    # `train_on_batch` brings NumPy arrays, where it runs eagerly.
    tensors = keras.tree.map_structure(
        lambda weight: None if weight is None else tf.convert_to_tensor(weight),
        weights,
    )
    return images, labels, tensors

  def _task_losses(self, outputs, labels, weights):
    """This replica's share of each output's loss."""
    return {
        name: task_losses.share(
            loss, labels[name], outputs[name], weights[name]
        )
        for name, loss in self._output_losses.items()
    }

  def _task_loss(self, losses):
    """This replica's share of all losses and penalties but the rate's."""
    total = sum(
        self.loss_weights.get(name, 1.0) * loss for name, loss in losses.items()
    )
    penalties = [tf.cast(penalty, total.dtype) for penalty in self.losses]
    if not penalties:
      return total
    return total + tf.add_n(penalties) / replicas.num_replicas()

  def _rate_loss(self, gates, place):
    """The rate loss of the global batch, on every replica the same."""
    if self.rate_loss is None:
      return tf.constant(0.0)
    sums = replicas.sum_over_replicas(tf.reduce_sum(gates, axis=0))
    rates = sums / tf.cast(place.size, tf.float32)
    return self.rate_loss(rates, self.macs.branches)

  def _record_losses(self, losses, task, rate, place):
    task = replicas.sum_over_replicas(task)
    rate = tf.cast(rate, task.dtype)
    values = [task + rate, task, rate]
    if self._output_loss_means:
      values += map(replicas.sum_over_replicas, losses.values())
    means = [*self._means[:3], *self._output_loss_means]
    # The losses are the same on every replica, each counted as often.
    for mean, value in zip(means, values, strict=True):
      mean.update_state(value, sample_weight=place.size)

  def _record(self, outputs, labels, weights):
    accuracy = self._means[3]
    if accuracy.kind is not None:
      accuracy.update_state(labels["logits"], outputs["logits"])
    self.gate_open_rates.update_state(outputs["gates"])
    for each in self._logged:
      each.metric.update_state(
          labels[each.output],
          outputs[each.output],
          sample_weight=weights[each.output] if each.is_weighted else None,
      )
    return self.get_metrics_result()

  def get_metrics_result(self):
    rates = self.gate_open_rates.result()
    branches = tf.constant(self.macs.branches, rates.dtype)
    names = self.metrics_names[:-2]
    results = {
        name: metric.result()
        for name, metric in zip(names, self.metrics[:-1], strict=True)
    }
    results["open_rate"] = tf.reduce_mean(rates)
    results["macs"] = self.macs.always + tf.reduce_sum(rates * branches)
    return results

  def make_train_function(self, force=False):
    if self.train_function is None or force:
      self.train_function = step_functions.step_function(
          self, self.train_step, check=True
      )
    return self.train_function

  def make_test_function(self, force=False):
    if self.test_function is None or force:
      self.test_function = step_functions.step_function(
          self, self.test_step, check=False
      )
    return self.test_function


def _equally_finite(optimizer, gradients):
  """Lets all replicas skip the step that one of them must skip.

  Keras scales losses by what each replica finds in its own gradients, before
  they are summed, and of several replicas asks the first alone.
  """
  scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
  if not scales or replicas.num_replicas() == 1:
    return gradients
  finite = tf.cast(optimizer.check_finite(gradients), tf.float32)
  finite = replicas.sum_over_replicas(finite)
  is_lost = finite < tf.cast(replicas.num_replicas(), tf.float32)
  nan = tf.where(is_lost, tf.constant(float("nan")), 0.0)
  first = next(i for i, g in enumerate(gradients) if g is not None)
  poisoned = tf.convert_to_tensor(gradients[first])
  poisoned += tf.cast(nan, poisoned.dtype)
  return [*gradients[:first], poisoned, *gradients[first + 1 :]]


def _batch_size(images):
  return tf.shape(keras.tree.flatten(images)[0])[0]
