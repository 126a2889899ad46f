"""Checks of what a `GatedModel` is made of and compiled with."""

from collections.abc import Sequence
from typing import Any

import keras

from pgates import graphs
from pgates.training import losses


def check_outputs(outputs: Any, names: Sequence[str]) -> None:
  """Raises a ValueError unless outputs are a dictionary with these names.

  Args:
    outputs: of the model.
    names: what it must hold beside outputs of the task; there is one of those,
      or several.
  """
  if (
      not isinstance(outputs, dict)
      or not set(names) <= set(outputs)
      or set(names) == set(outputs)
  ):
    raise ValueError(
        f"A GatedModel's outputs are a dict of {names} and the outputs of its "
        "task, usually 'logits', as made by `pgates.gated_outputs`. Received: "
        f"{outputs}"
    )


def check_columns(gates: keras.KerasTensor, names: Sequence[str]) -> None:
  """Raises a ValueError unless each gated block has a column.

  Args:
    gates: [batch, columns], an output of the model.
    names: of the gated blocks, in call order.
  """
  columns = gates.shape[-1]
  if columns != len(names):
    raise ValueError(
        f"The output 'gates' has {columns} columns for {len(names)} gated "
        f"blocks: {tuple(names)}. Stack the gates of all of them, in call "
        "order."
    )


def has_fixed_sizes(model: keras.Model) -> bool:
  """Whether all sizes but the batch's are known, so that work is countable."""
  return all(None not in tensor.shape[1:] for tensor in model.inputs)


def check_loss_weights(
    loss_weights: dict[str, float] | None, losses: dict[str, keras.losses.Loss]
) -> None:
  """Raises a ValueError unless factors are of outputs that have a loss.

  Args:
    loss_weights: factors by the names of outputs, or None.
    losses: `keras.losses.Loss` by the names of outputs.
  """
  is_dict = isinstance(loss_weights, (dict, type(None)))
  if not is_dict or set(loss_weights or ()) - set(losses):
    raise ValueError(
        "`loss_weights` must be a dictionary by the names of outputs that have "
        f"a loss, {sorted(losses)}. Received: {loss_weights}"
    )


def check_targets(rate_loss: losses.TargetRateLoss, model: keras.Model) -> None:
  """Raises a ValueError unless a rate loss fits the blocks of a model.

  Args:
    rate_loss: what was given for a `TargetRateLoss`.
    model: a functional model with a `ModelMacs` under `macs`.
  """
  if not isinstance(rate_loss, losses.TargetRateLoss):
    raise ValueError(
        f"`rate_loss` must be a pgates.TargetRateLoss. Received: {rate_loss!r}"
    )
  if rate_loss.share == "macs" and not has_fixed_sizes(model):
    raise ValueError(
        "TargetRateLoss(share='macs') needs multiply-adds, which need sizes. "
        f"{model.name} takes {[tuple(t.shape) for t in model.inputs]}: build "
        "it with a full input shape, or give share='gates'."
    )
  costs, targets = rate_loss.share, rate_loss.target_rate
  if not isinstance(costs, list) and not isinstance(targets, list):
    return
  names = [block.name for block in graphs.gated_calls(model)]
  if isinstance(costs, list) and len(costs) != len(names):
    raise ValueError(
        f"TargetRateLoss(share=) has {len(costs)} numbers for {len(names)} "
        f"blocks ({names}). Give one for each."
    )
  if not isinstance(targets, list):
    return
  if len(targets) != len(names):
    raise ValueError(
        f"{len(targets)} target rates for {len(names)} blocks ({names}). Give "
        "one for each block, 1 for those that always run."
    )
  gated = {
      block.name
      for block in graphs.gated_blocks(model)
      if block.gate is not None
  }
  wrong = [
      name
      for name, target in zip(names, targets, strict=True)
      if target == 1 and name in gated
  ]
  if wrong:
    raise ValueError(
        "A target rate of 1 means that the block always runs, but these have a "
        f"gate: {wrong}. Build them without one (`always_open` of the ResNets)."
    )
