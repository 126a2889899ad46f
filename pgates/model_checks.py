"""Checks of what a `GatedModel` is made of and compiled with."""

import keras

from pgates import graphs
from pgates import losses


def check_outputs(outputs, names):
  """Raises a ValueError unless outputs are a dictionary with these names."""
  if not isinstance(outputs, dict) or not set(names) <= set(outputs):
    raise ValueError(
        f"A GatedModel's outputs are a dict of {names}, as made by "
        f"`pgates.gated_outputs`. Received: {outputs}"
    )


def check_columns(gates, counted):
  """Raises a ValueError unless each gated block has a column.

  Args:
    gates: [batch, columns], an output of the model.
    counted: the `ModelMacs` of the model.
  """
  columns = gates.shape[-1]
  if columns != len(counted.branches):
    raise ValueError(
        f"The output 'gates' has {columns} columns for "
        f"{len(counted.branches)} gated blocks: {counted.names}. Stack the "
        "gates of all of them, in call order."
    )


def check_loss(loss):
  """Raises a ValueError unless a loss is a scalar one of logits."""
  if not isinstance(loss, keras.losses.Loss) or not loss.get_config().get(
      "from_logits", True
  ):
    raise ValueError(
        "`loss` must be a keras.losses.Loss of logits, such as "
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True). "
        f"Received: {loss!r}"
    )
  if loss.reduction in (None, "none"):
    raise ValueError("`loss` must reduce to a scalar. Received: reduction=none")


def check_metric_names(names, logs):
  """Raises a ValueError unless names of metrics are unique.

  Args:
    names: of the metrics that were asked for.
    logs: names that are logged without them.
  """
  taken = [name for name in names if name in logs or names.count(name) > 1]
  if taken:
    raise ValueError(
        f"`metrics` need names of their own; {logs} are logged without. "
        f"Received: {taken}"
    )


def check_targets(rate_loss, model):
  """Raises a ValueError unless a rate loss fits the blocks of a model.

  Args:
    rate_loss: what was given for a `TargetRateLoss`.
    model: a functional model with a `ModelMacs` under `macs`.
  """
  if not isinstance(rate_loss, losses.TargetRateLoss):
    raise ValueError(
        f"`rate_loss` must be a pgates.TargetRateLoss. Received: {rate_loss!r}"
    )
  targets = rate_loss.target_rate
  if not isinstance(targets, list):
    return
  names = model.macs.names
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
