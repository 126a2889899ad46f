"""Target-rate losses: penalties on the rate of open gates.

With m[l] the mean of block l's gates over the global batch and t the target:

    per layer (AIG):     sum(p * (t - m) ** 2)
    per batch (paper):   (t - sum(p * m)) ** 2

where p is 1 / blocks, or each block's share of the gateable multiply-adds, or
of any other cost, such as the time of its branch.
They differ by the variance of m under p, which the per-layer loss punishes:
it forbids that some blocks are always open and others never.

References:
  Herrmann, Bowen, Zabih, arXiv 1812.04180v1; Veit and Belongie,
  arXiv 1711.11503, equation 4.
"""

from collections.abc import Sequence
from typing import Any
from typing import Self

import keras
import tensorflow as tf

KINDS = ("per_batch", "per_layer")
SHARES = ("gates", "macs")
_Schedule = keras.optimizers.schedules.LearningRateSchedule


def _shares(open_rates, block_costs):
  if block_costs is None:
    return tf.ones_like(open_rates) / tf.cast(tf.size(open_rates), tf.float32)
  block_costs = tf.cast(block_costs, tf.float32)
  return block_costs / tf.reduce_sum(block_costs)


def _excess(open_rates, target_rate, one_sided):
  excess = open_rates - target_rate
  return tf.nn.relu(excess) if one_sided else excess


def per_batch_loss(
    open_rates: tf.Tensor,
    target_rate: float | Sequence[float],
    *,
    block_costs: Sequence[float] | None = None,
    one_sided: bool = False,
) -> tf.Tensor:
  """Squared distance of the mean open rate from the target.

  Args:
    open_rates: float32 [blocks], mean of each block's gates over the batch.
    target_rate: number in [0, 1].
    block_costs: [blocks] multiply-adds, seconds or what else a block costs;
      given, the rate is the share of the gateable cost that is executed, not
      of gates open.
    one_sided: whether only rates above the target are punished.

  Returns:
    float32 scalar.
  """
  rate = tf.reduce_sum(_shares(open_rates, block_costs) * open_rates)
  return tf.square(_excess(rate, target_rate, one_sided))


def per_layer_loss(
    open_rates: tf.Tensor,
    target_rate: float | Sequence[float],
    *,
    block_costs: Sequence[float] | None = None,
    one_sided: bool = False,
) -> tf.Tensor:
  """Mean over blocks of the squared distance of their rates from the targets.

  Args:
    open_rates: float32 [blocks], mean of each block's gates over the batch.
    target_rate: number in [0, 1], or one for each block.
    block_costs: [blocks] multiply-adds, seconds or what else a block costs;
      given, the mean is weighted by them.
    one_sided: whether only rates above their target are punished.

  Returns:
    float32 scalar.
  """
  target_rate = tf.cast(target_rate, tf.float32)
  excess = _excess(open_rates, target_rate, one_sided)
  return tf.reduce_sum(_shares(open_rates, block_costs) * tf.square(excess))


def _check_share(share):
  if isinstance(share, str):
    if share not in SHARES:
      raise ValueError(
          f"`share` must be one of {SHARES}, or a list of what each block "
          f"costs. Received: {share!r}"
      )
    return
  is_finite = all(0 <= cost < float("inf") for cost in share)
  if not is_finite or not sum(share) > 0:
    raise ValueError(
        "A list for `share` holds what each block costs: finite numbers, none "
        f"negative, not all 0. Received: {share}"
    )


def _check_weight(weight):
  if isinstance(weight, _Schedule):
    return
  if not weight >= 0:  # Nor NaN.
    raise ValueError(
        "`weight` must be a number that is not negative, or a Keras schedule. "
        f"Received: {weight}"
    )


@keras.saving.register_keras_serializable(package="pgates")
class TargetRateLoss:
  """The choice of a target-rate loss, for `GatedModel.compile(rate_loss=)`.

  Args:
    target_rate: the rate of open gates to reach, in [0, 1]; for `per_layer`
      also a list with one rate for each block. A rate of 1 in a list means
      that the block always runs: it must have no gate (`always_open`).
    kind: `per_batch` (the paper) or `per_layer` (AIG).
    weight: factor on the penalty; the papers use 1 on ImageNet, 2 on CIFAR. Or
      a Keras schedule, step -> weight, such as one that holds the penalty back
      at first; steps are the optimizer's.
    one_sided: whether only rates above the target are punished.
    share: what is counted, `gates` or gateable multiply-adds, `macs`; or a
      list of what each block costs, such as `pgates.branch_times` measures.

  Raises:
    ValueError: if an argument is out of its range.
  """

  def __init__(
      self,
      target_rate: float | Sequence[float] = 0.6,
      *,
      kind: str = "per_batch",
      weight: float | _Schedule = 1.0,
      one_sided: bool = False,
      share: str | Sequence[float] = "gates",
  ):
    if kind not in KINDS:
      raise ValueError(f"`kind` must be one of {KINDS}. Received: {kind!r}")
    if not isinstance(share, str):
      share = [float(cost) for cost in share]
    _check_share(share)
    _check_weight(weight)
    is_list = isinstance(target_rate, (list, tuple))
    if is_list and kind == "per_batch":
      raise ValueError(
          "A list of target rates is for kind='per_layer'; 'per_batch' takes "
          f"one. Received: target_rate={target_rate}"
      )
    rates = target_rate if is_list else [target_rate]
    if not rates or not all(0.0 <= rate <= 1.0 for rate in rates):
      raise ValueError(
          f"`target_rate` must lie in [0, 1]. Received: {target_rate}"
      )
    self.target_rate = list(target_rate) if is_list else target_rate
    self.kind = kind
    self.weight = weight
    self.one_sided = one_sided
    self.share = share

  def __call__(
      self,
      open_rates: tf.Tensor,
      block_macs: Sequence[int],
      step: int | tf.Tensor = 0,
  ) -> tf.Tensor:
    """The weighted penalty.

    Args:
      open_rates: float32 [blocks], over the global batch.
      block_macs: [blocks], multiply-adds of the branches.
      step: of training, for a weight that is a schedule.

    Returns:
      float32 scalar.
    """
    is_schedule = isinstance(self.weight, _Schedule)
    weight = self.weight(step) if is_schedule else self.weight
    loss = per_batch_loss if self.kind == "per_batch" else per_layer_loss
    return weight * loss(
        open_rates,
        self.target_rate,
        block_costs=self._block_costs(block_macs),
        one_sided=self.one_sided,
    )

  def _block_costs(self, block_macs):
    if isinstance(self.share, list):
      return self.share
    return block_macs if self.share == "macs" else None

  def get_config(self) -> dict[str, Any]:
    weight = self.weight
    if isinstance(weight, _Schedule):
      weight = keras.saving.serialize_keras_object(weight)
    return {
        "target_rate": self.target_rate,
        "kind": self.kind,
        "weight": weight,
        "one_sided": self.one_sided,
        "share": self.share,
    }

  @classmethod
  def from_config(cls, config: dict[str, Any]) -> Self:
    weight = config.get("weight")
    if isinstance(weight, dict):
      weight = keras.saving.deserialize_keras_object(weight)
      config = {**config, "weight": weight}
    return cls(**config)
