"""What a `GatedModel` logs: the state behind it, and how steps add to it."""

from typing import Any

import keras
import tensorflow as tf

from pgates.costs import model_macs
from pgates.layers import replicas
from pgates.training import accuracy as accuracy_lib
from pgates.training import metrics as metrics_lib
from pgates.training import model_metrics

NAMES = ("loss", "task_loss", "rate_loss", "accuracy", "open_rate", "macs")


class Logs:
  """The metrics of a compiled model.

  Args:
    losses: `keras.losses.Loss` by the names of outputs.
    given: what `compile` was given: `{"metrics": ..., "weighted_metrics":
      ...}`, each as of `model_metrics.by_output`.
    outputs: of the model, by name.
    counted: its multiply-adds; None where they are not logged.

  Raises:
    ValueError: if a metric has the name of a log.
  """

  def __init__(
      self,
      losses: dict[str, keras.losses.Loss],
      given: dict[str, model_metrics.ByOutput],
      outputs: dict[str, keras.KerasTensor],
      counted: model_macs.ModelMacs | None,
  ):
    self._counted = counted
    names = [f"{name}_loss" for name in losses] if len(losses) > 1 else []
    self.further = model_metrics.logged(
        **given, losses=losses, outputs=outputs, logs=(*NAMES, *names)
    )
    self._losses = [keras.metrics.Mean(name=name) for name in NAMES[:3]]
    self._output_losses = [keras.metrics.Mean(name=name) for name in names]
    self._accuracy = accuracy_lib.Accuracy(
        losses.get("logits"), outputs.get("logits")
    )
    is_given = any(each.name == "accuracy" for each in self.further)
    self._has_accuracy = self._accuracy.kind is not None and not is_given
    self.gate_open_rates = metrics_lib.GateOpenRates(outputs["gates"].shape[-1])
    # Of metrics whose result is a dictionary: its keys.
    self._parts = {}

  @property
  def metrics(self) -> list[keras.metrics.Metric]:
    """All metrics, in the order of `names`; the last is of the gates."""
    return [
        *self._losses,
        *([self._accuracy] if self._has_accuracy else []),
        *self._output_losses,
        *(each.metric for each in self.further),
        self.gate_open_rates,
    ]

  @property
  def names(self) -> list[str]:
    """Of the list that `evaluate` and `train_on_batch` return."""
    others = len(self.further) + 1
    names = [metric.name for metric in self.metrics[:-others]]
    further = [each.name for each in self.further]
    macs = [] if self._counted is None else ["macs"]
    return [*names, *further, *macs, "open_rate"]

  @property
  def branches(self) -> tuple[int, ...] | None:
    """Multiply-adds of each block's branch; None where they are not known."""
    return None if self._counted is None else self._counted.branches

  def record_losses(
      self,
      losses: dict[str, tf.Tensor],
      task: tf.Tensor,
      rate: tf.Tensor,
      place: replicas.BatchPlace,
  ) -> None:
    """Adds a step's losses.

    Args:
      losses: this replica's share of each output's loss, by output.
      task: this replica's share of all losses but the rate's.
      rate: the rate loss, on every replica the same.
      place: a `replicas.BatchPlace` in the global batch.
    """
    task = replicas.sum_over_replicas(task)
    rate = tf.cast(rate, task.dtype)
    values = [task + rate, task, rate]
    if self._output_losses:
      values += map(replicas.sum_over_replicas, losses.values())
    means = [*self._losses, *self._output_losses]
    # The losses are the same on every replica, which counts its own examples:
    # an epoch may be continued on another number of replicas.
    for mean, value in zip(means, values, strict=True):
      mean.update_state(value, sample_weight=place.local_size)

  def record(
      self,
      outputs: dict[str, tf.Tensor],
      labels: dict[str, tf.Tensor],
      weights: dict[str, tf.Tensor | None],
  ) -> None:
    """Adds a step's outputs; labels and weights are by the names of outputs."""
    if self._has_accuracy:
      self._accuracy.update_state(labels["logits"], outputs["logits"])
    self.gate_open_rates.update_state(outputs["gates"])
    for each in self.further:
      each.metric.update_state(
          labels[each.output],
          outputs[each.output],
          sample_weight=weights[each.output] if each.is_weighted else None,
      )

  def results(self) -> dict[str, Any]:
    """The logs, from what was recorded since the last reset."""
    rates = self.gate_open_rates.result()
    # The last names are of numbers that are made of the last metric.
    metrics = zip(self.names, self.metrics[:-1], strict=False)
    logs = {name: metric.result() for name, metric in metrics}
    self._parts = {
        name: list(result)
        for name, result in logs.items()
        if isinstance(result, dict)
    }
    logs["open_rate"] = tf.reduce_mean(rates)
    if self._counted is not None:
      branches = tf.constant(self._counted.branches, rates.dtype)
      executed = tf.reduce_sum(rates * branches)
      logs["macs"] = self._counted.always + executed
    return logs

  def listed(self, logs: dict[str, Any]) -> list[Any]:
    """The values of results, in the order of `names`.

    Args:
      logs: results as Keras returns them: of a metric whose result is a
        dictionary, each part stands by itself.

    Returns:
      A list; of such a metric, it holds the dictionary.
    """
    return [
        {part: logs[part] for part in self._parts[name]}
        if name in self._parts
        else logs[name]
        for name in self.names
    ]
