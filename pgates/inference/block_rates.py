"""How often blocks run, and networks without those that run too rarely."""

from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from pgates import graphs
from pgates.inference import measurements
from pgates.inference import pruning
from pgates.layers import gate_rules

# What all inputs get where more of them agree: a block that runs for half of
# them or more stays.
MAJORITY = 0.5


class BlockRates:
  """Open rates of blocks; one that is called several times has their mean.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    rule: that decides, of `gate_rules`.
    dataset: batched data set of (images, ...).

  Raises:
    ValueError: if there is no example, or the gates of one are NaN.
  """

  def __init__(
      self,
      model: keras.Model,
      rule: str | gate_rules.Rule,
      dataset: tf.data.Dataset,
  ):
    rates, probabilities = measurements.measure_gates(
        model, dataset, strategy=rule
    )
    calls = graphs.gated_calls(model)
    found = list({id(block): block for block in calls}.values())
    # A block that is called several times goes, or stays, as a whole.
    self._own = [np.array([call is block for call in calls]) for block in found]
    self._rates = [rates[mask].mean() for mask in self._own]
    self._probabilities = [probabilities[mask].mean() for mask in self._own]

  def at_least(self, share: float) -> set[int]:
    """Indices of the columns of blocks that run for this share or more."""
    return self._columns(
        i for i, rate in enumerate(self._rates) if rate >= share
    )

  def highest(self, count: int) -> set[int]:
    """Indices of the columns of the blocks that run most often."""
    if count > len(self._rates):
      raise ValueError(
          f"'top_k:{count}' keeps more than the model's {len(self._rates)} "
          "blocks."
      )
    # Among equal open rates, the higher mean probability is kept.
    order = np.lexsort((self._probabilities, self._rates))
    return self._columns(order[len(order) - count :])

  def _columns(self, blocks):
    return {j for i in blocks for j in np.flatnonzero(self._own[i]).tolist()}

  def at_most(self, share: float) -> set[int]:
    """Indices of the columns of blocks that run for this share or less."""
    return self._columns(
        i for i, rate in enumerate(self._rates) if rate <= share
    )


def keep_only(model: keras.Model, kept: Iterable[int]) -> keras.Model:
  """Keeps the blocks of these columns, always open, and drops the others."""
  dropped = set(range(len(graphs.gated_calls(model)))) - set(kept)
  return pruning.prune(model, dropped, always_open=kept)
