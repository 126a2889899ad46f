"""Networks with decisions about their gates, and what they do."""

from collections.abc import Collection
import dataclasses

import numpy as np
import tensorflow as tf

from export.decisions import choice
import pgates


def applied(
    model: pgates.GatedModel,
    rule: pgates.Strategy,
    decisions: choice.Decisions,
) -> tuple[pgates.GatedModel, pgates.Strategy]:
  """A network with decisions, and what is left to decide."""
  of = {kind: _indices(decisions, kind) for kind in set(decisions)}
  gates = [block.gate is not None for block in pgates.gated_calls(model)]
  removed = [i for i in of.get(choice.REMOVED, []) if gates[i]]
  opened = [i for i in of.get(choice.OPEN, []) if gates[i]]
  smaller = pgates.prune(model, removed, always_open=opened)
  if choice.DECIDING in of:
    return smaller, rule
  return smaller, pgates.parse_strategy("always_open")


def of_network(model: pgates.GatedModel) -> choice.Decisions:
  """What each block is, before anything is chosen."""
  kinds = []
  for block in pgates.gated_calls(model):
    if block.branch is None:
      kinds.append(choice.REMOVED)
    else:
      kinds.append(choice.OPEN if block.gate is None else choice.DECIDING)
  return tuple(kinds)


def opened(
    model: pgates.GatedModel, removed: Collection[int] = ()
) -> pgates.GatedModel:
  """A network without gates: blocks removed, and all others always open."""
  blocks = enumerate(pgates.gated_calls(model))
  there = {i for i, block in blocks if block.branch is not None}
  removed = there & set(removed)
  return pgates.prune(model, removed, always_open=sorted(there - removed))


class Measurement:
  """Accuracy and open rates on validation data, by decisions.

  Args:
    model: the network.
    rule: that its deciding gates follow.
    validation_data: batches of (images, labels).
  """

  def __init__(
      self,
      model: pgates.GatedModel,
      rule: pgates.Strategy,
      validation_data: tf.data.Dataset,
  ):
    self._model, self._rule = model, rule
    self._validation_data = validation_data
    self._known = {}

  def images(self) -> np.ndarray:
    """The first batch of images."""
    batches = self._validation_data.take(1)
    return np.concatenate([images for images, _ in batches])

  def __call__(self, decisions: choice.Decisions) -> "_Measured":
    if decisions not in self._known:
      smaller, left = applied(self._model, self._rule, decisions)
      found = pgates.collect(
          pgates.with_strategy(smaller, left),
          self._validation_data,
          lambda outputs, labels: {
              "hits": outputs["logits"].argmax(-1) == labels.reshape(-1),
              "gates": outputs["gates"],
          },
      )
      self._known[decisions] = _Measured(
          float(found["hits"].mean()), found["gates"].mean(axis=0)
      )
    return self._known[decisions]


@dataclasses.dataclass(frozen=True)
class _Measured:
  accuracy: float
  open_rates: np.ndarray


def _indices(decisions, kind):
  return [i for i, decision in enumerate(decisions) if decision == kind]
