"""What a `GatedModel` minimises, and each replica's share of it."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from pgates.layers import replicas
from pgates.training import losses as losses_lib
from pgates.training import task_losses


@dataclasses.dataclass(frozen=True)
class Objective:
  """The losses of a compiled model.

  Args:
    losses: by the names of outputs.
    loss_weights: factors by the names of outputs; 1 if absent.
    rate_loss: on the rates of open gates, or None.
  """

  losses: dict[str, keras.losses.Loss]
  loss_weights: dict[str, float]
  rate_loss: losses_lib.TargetRateLoss | None

  def task_losses(
      self,
      outputs: dict[str, tf.Tensor],
      labels: dict[str, tf.Tensor],
      weights: dict[str, tf.Tensor | None],
  ) -> dict[str, tf.Tensor]:
    """This replica's share of each output's loss."""
    return {
        name: task_losses.share(
            loss, labels[name], outputs[name], weights[name]
        )
        for name, loss in self.losses.items()
    }

  def task(
      self, losses: dict[str, tf.Tensor], penalties: list[tf.Tensor]
  ) -> tf.Tensor:
    """This replica's share of all losses but the rate's.

    Args:
      losses: from `task_losses`.
      penalties: of regularisers, whole on every replica.

    Returns:
      A scalar.
    """
    total = sum(
        self.loss_weights.get(name, 1.0) * loss for name, loss in losses.items()
    )
    penalties = [tf.cast(penalty, total.dtype) for penalty in penalties]
    if not penalties:
      return total
    return total + tf.add_n(penalties) / replicas.num_replicas()

  def rate(
      self,
      gates: tf.Tensor,
      place: replicas.BatchPlace,
      macs: Any,
      step: int | tf.Tensor = 0,
  ) -> tf.Tensor:
    """The rate loss of the global batch, on every replica the same.

    Args:
      gates: [batch, blocks], this replica's.
      place: of this replica's examples in the global batch.
      macs: multiply-adds of each block's branch.
      step: of training, for a weight that is a schedule.

    Returns:
      A scalar.
    """
    if self.rate_loss is None:
      return tf.constant(0.0)
    sums = replicas.sum_over_replicas(tf.reduce_sum(gates, axis=0))
    return self.rate_loss(sums / tf.cast(place.size, tf.float32), macs, step)
