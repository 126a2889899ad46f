"""Training and evaluation of gated networks."""

import keras
import tensorflow as tf

from pgates import compute
from pgates import metrics as metrics_lib
from pgates import model_checks
from pgates import replicas
from pgates import step_functions
from pgates import symbolic_build

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

  `GatedModel(inputs, gated_outputs(logits, gates, gate_logits))`. The rate is
  that of the global batch: sums and counts of gates are reduced over replicas
  before the penalty, through which the gradient flows back. The task loss is
  divided by the examples of the global batch. So a batch split over replicas
  trains as an undivided one, as far as its batch norm is synchronised.

  Logged are `loss`, `task_loss`, `rate_loss`, `accuracy` (weighted by sample
  weights), `open_rate` and `macs` (mean executed multiply-adds per example).

  Args:
    *args: of a functional `keras.Model`: inputs and outputs.
    **kwargs: the same.

  Raises:
    ValueError: if the outputs are not those of `gated_outputs`, or their
      columns are not as many as the gated blocks.
  """

  def __init__(self, *args, **kwargs):
    super().__init__(*args, **kwargs)
    model_checks.check_outputs(self.output, OUTPUTS)
    self._macs = None

  @property
  def macs(self):
    """The `pgates.ModelMacs` of the model."""
    if self._macs is None:
      counted = compute.count_macs(self)
      model_checks.check_columns(self.output["gates"], counted)
      self._macs = counted
    return self._macs

  def compile(
      self,
      optimizer="rmsprop",
      loss=None,
      *,
      rate_loss=None,
      metrics=None,
      run_eagerly=False,
      steps_per_execution=1,
      jit_compile="auto",
      auto_scale_loss=True,
  ):
    """Configures training.

    Args:
      optimizer: a Keras optimizer or its name.
      loss: a `keras.losses.Loss` between labels and logits; None for sparse
        categorical cross-entropy of logits.
      rate_loss: a `pgates.TargetRateLoss`, or None.
      metrics: list of further Keras metrics (or names) of labels and logits.
      run_eagerly: as of `keras.Model.compile`.
      steps_per_execution: the same.
      jit_compile: the same.
      auto_scale_loss: the same.

    Raises:
      ValueError: if the loss expects probabilities, the targets do not fit
        the blocks, or a metric has the name of a log.
    """
    if loss is None:
      loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model_checks.check_loss(loss)
    with self.distribute_strategy.scope():
      further = [keras.metrics.get(metric) for metric in metrics or ()]
    model_checks.check_metric_names([metric.name for metric in further], LOGS)
    if rate_loss is not None:
      model_checks.check_targets(rate_loss, self)
    num_blocks = len(self.macs.branches)
    options = {
        "run_eagerly": run_eagerly,
        "steps_per_execution": steps_per_execution,
        "jit_compile": jit_compile,
        "auto_scale_loss": auto_scale_loss,
    }
    super().compile(optimizer=optimizer, **options)
    self.task_loss = loss
    self.rate_loss = rate_loss
    self._compile_options = options
    # Reduced here, over the global batch.
    self._example_loss = type(loss).from_config(
        {**loss.get_config(), "reduction": "none"}
    )
    with self.distribute_strategy.scope():
      self._means = [keras.metrics.Mean(name=name) for name in LOGS[:4]]
      self.gate_open_rates = metrics_lib.GateOpenRates(num_blocks)
      self._further_metrics = further

  def get_compile_config(self):
    if not self.compiled:
      return None
    serialize = keras.saving.serialize_keras_object
    return {
        "optimizer": serialize(self.optimizer),
        "loss": serialize(self.task_loss),
        "rate_loss": serialize(self.rate_loss),
        "metrics": [serialize(m) for m in self._further_metrics],
        **self._compile_options,
    }

  def compile_from_config(self, config):
    deserialize = keras.saving.deserialize_keras_object
    objects = {
        name: deserialize(config[name])
        for name in ("optimizer", "loss", "rate_loss", "metrics")
    }
    self.compile(**{**config, **objects})
    self.optimizer.build(self.trainable_variables)

  @property
  def metrics(self):
    # Keras's list holds a second "loss", and those of every `compile`.
    if not self.compiled:
      return []
    return [*self._means, *self._further_metrics, self.gate_open_rates]

  @property
  def metrics_names(self):
    """Of the list that `evaluate` and `train_on_batch` return."""
    names = [metric.name for metric in self.metrics[:-1]]
    return [*names, "macs", "open_rate"] if names else []

  def train_step(self, data):
    images, labels, weights = _unpack(data)
    with replicas.global_batch(_batch_size(images)) as place:
      with tf.GradientTape() as tape:
        outputs = self._forward(images, place, training=True)
        task, rate = self._task_and_rate(outputs, labels, weights, place)
        # Gradients are summed over replicas: each brings its share.
        loss = task + rate / replicas.num_replicas()
        scaled = self.optimizer.scale_loss(loss)
      variables = self.trainable_variables
      gradients = tape.gradient(scaled, variables)
      gradients = _equally_finite(self.optimizer, gradients)
      self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
    return self._record(outputs, labels, weights, (task, rate), place)

  def test_step(self, data):
    images, labels, weights = _unpack(data)
    with replicas.global_batch(_batch_size(images)) as place:
      outputs = self._forward(images, place, training=False)
      pair = self._task_and_rate(outputs, labels, weights, place)
    return self._record(outputs, labels, weights, pair, place)

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

  def _task_and_rate(self, outputs, labels, weights, place):
    """This replica's share of the task loss, and the whole rate loss."""
    per_example = self._example_loss(labels, outputs["logits"])
    count = tf.cast(place.size, tf.float32)
    if weights is not None:
      weights = tf.reshape(tf.cast(weights, tf.float32), [-1])
      per_example *= weights
    reduction = self.task_loss.reduction
    if reduction == "sum":
      count = 1.0
    elif reduction == "mean_with_sample_weight" and weights is not None:
      count = replicas.sum_over_replicas(tf.reduce_sum(weights))
    task = tf.math.divide_no_nan(tf.reduce_sum(per_example), count)
    penalties = [tf.cast(penalty, tf.float32) for penalty in self.losses]
    task += tf.add_n(penalties) / replicas.num_replicas() if penalties else 0.0
    return task, self._rate_loss(outputs["gates"], place)

  def _rate_loss(self, gates, place):
    if self.rate_loss is None:
      return tf.constant(0.0)
    sums = replicas.sum_over_replicas(tf.reduce_sum(gates, axis=0))
    rates = sums / tf.cast(place.size, tf.float32)
    return self.rate_loss(rates, self.macs.branches)

  def _record(self, outputs, labels, weights, pair, place):
    task, rate = pair
    logits = outputs["logits"]
    task = replicas.sum_over_replicas(task)
    loss, task_loss, rate_loss, accuracy = self._means
    # The losses are the same on every replica, each counted as often.
    for mean, value in (
        (loss, task + rate),
        (task_loss, task),
        (rate_loss, rate),
    ):
      mean.update_state(value, sample_weight=place.size)
    sparse = labels.shape.rank < 2 or labels.shape[-1] == 1
    classes = tf.reshape(labels, [-1]) if sparse else tf.argmax(labels, axis=-1)
    correct = tf.argmax(logits, axis=-1, output_type=tf.int32)
    correct = tf.equal(correct, tf.cast(classes, tf.int32))
    accuracy.update_state(tf.cast(correct, tf.float32), sample_weight=weights)
    self.gate_open_rates.update_state(outputs["gates"])
    for metric in self._further_metrics:
      metric.update_state(labels, logits, sample_weight=weights)
    return self.get_metrics_result()

  def get_metrics_result(self):
    rates = self.gate_open_rates.result()
    branches = tf.constant(self.macs.branches, tf.float32)
    results = {metric.name: metric.result() for metric in self._means}
    results["open_rate"] = tf.reduce_mean(rates)
    results["macs"] = self.macs.always + tf.reduce_sum(rates * branches)
    for metric in self._further_metrics:
      results[metric.name] = metric.result()
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


def _unpack(data):
  images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
  # `train_on_batch` brings NumPy arrays, where it runs eagerly.
  return images, tf.convert_to_tensor(labels), weights


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
