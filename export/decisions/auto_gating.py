"""From a network with gates to one whose gates all pay."""

from collections.abc import Sequence
import dataclasses
import functools
import pathlib
import tempfile
from typing import Any

import tensorflow as tf

from export.decisions import choice
from export.decisions import decided_networks
from export.decisions import fastest
from export.timing import block_costs
from export.timing import block_times
from export.timing import costs as costs_lib
from export.timing import engines
from export.timing import probes
from export.timing import whole_times
import pgates


@dataclasses.dataclass(frozen=True)
class Options:
  """How gates are chosen.

  Args:
    costs: `measured`, `macs`, or the path of a file of costs.
    max_accuracy_drop: in points, on validation data.
    batch_size: that SavedModels are measured at.
    keep_probes: folder to leave the measured single blocks in, or None.

  Raises:
    ValueError: if the points are none.
  """

  costs: str = "measured"
  max_accuracy_drop: float = 0.1
  batch_size: int = 1
  keep_probes: str | None = None

  def __post_init__(self):
    if not 0 <= self.max_accuracy_drop <= 100:  # Nor NaN, as bounds of flags.
      raise ValueError(
          "--max_accuracy_drop takes points from 0 to 100. Received: "
          f"{self.max_accuracy_drop}"
      )


@dataclasses.dataclass(frozen=True)
class Chosen:
  """A network whose gates pay.

  Args:
    model: without the gates and branches that do not.
    strategy: what is left to do for each input.
    decisions: of each block.
    rows: why.
    costs: that it was chosen by.
    ratios: times of whole networks by that of all blocks open, where they were
      measured.
    outcome: a sentence on what is exported.
    accuracy: a share, on validation data.
  """

  model: pgates.GatedModel
  strategy: pgates.Strategy
  decisions: choice.Decisions
  rows: Sequence[choice.Row]
  costs: block_costs.Costs
  ratios: dict[str, float]
  outcome: str
  accuracy: float

  def description(self) -> dict[str, Any]:
    """For `gates.json` and `export.json`."""
    return {
        "decisions": list(self.decisions),
        "table": [dataclasses.asdict(row) for row in self.rows],
        "unit": self.costs.unit,
        "batch_size": self.costs.batch_size,
        "time_ratios": self.ratios,
        "outcome": self.outcome,
        "validation_accuracy": self.accuracy,
    }


def choose(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    validation_data: tf.data.Dataset,
    *,
    format: str,
    options: Options,
) -> Chosen:
  """Decides what becomes of each gate of a network.

  Args:
    model: the network.
    strategy: one with a threshold: `map`, `threshold:T`, `budget:B` or
      `settled`.
    validation_data: batches of (images, labels).
    format: it is exported in.
    options: how.

  Returns:
    A `Chosen`: where times were measured, the fastest of the networks within
    `max_accuracy_drop` that were timed as a whole.

  Raises:
    ValueError: if the file of costs is of another network.
  """
  resolved, rule = strategy.resolve(model, validation_data)
  if choice.DECIDING not in decided_networks.of_network(resolved):
    return _nothing_to_choose(resolved, rule, validation_data)
  costs = _costs(resolved, format, options)
  measure = decided_networks.Measurement(resolved, rule, validation_data)
  steps = choice.choose(
      costs.blocks,
      decided_networks.of_network(resolved),
      measure,
      max_accuracy_drop=options.max_accuracy_drop / 100,
  )
  step, ratios = steps[-1], {}
  outcome = "Not timed as a whole: costs are of another machine."
  if options.costs == "measured":
    found = fastest.find(
        steps,
        measure,
        functools.partial(
            _ratios,
            resolved,
            rule,
            measure.images(),
            costs=costs,
            format=format,
        ),
        max_accuracy_drop=options.max_accuracy_drop / 100,
    )
    step, ratios, outcome = found.step, found.ratios, found.outcome
  return Chosen(
      *decided_networks.applied(resolved, rule, step.decisions),
      decisions=step.decisions,
      rows=step.rows,
      costs=costs,
      ratios=dict(ratios),
      outcome=outcome,
      accuracy=measure(step.decisions).accuracy,
  )


def restored(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    validation_data: tf.data.Dataset,
    decisions: Sequence[str],
) -> tuple[pgates.GatedModel, pgates.Strategy]:
  """What `choose` exported, from the decisions that it wrote down."""
  resolved, rule = strategy.resolve(model, validation_data)
  return decided_networks.applied(resolved, rule, tuple(decisions))


def _costs(model, format, options):
  if options.costs == "macs":
    return costs_lib.from_macs(model)
  if options.costs != "measured":
    return costs_lib.read(options.costs, model, format)
  size = 1 if format == "tflite" else options.batch_size
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(options.keep_probes or temporary) / format
    probes.write(model, folder, format=format, batch_size=size)
    return block_times.measure(
        folder, functools.partial(engines.load, format=format)
    )


def _ratios(model, rule, images, candidates, *, costs, format):
  """Times of networks with decisions by that of all blocks open."""
  with tempfile.TemporaryDirectory() as temporary:
    paths = {name: pathlib.Path(temporary) / name for name in candidates}
    for name, decisions in candidates.items():
      network, strategy = decided_networks.applied(model, rule, decisions)
      whole_times.write(network, strategy, paths[name], format)
    return whole_times.ratios(
        paths,
        images,
        reference=fastest.REFERENCE,
        format=format,
        batch_size=costs.batch_size,
        threshold=rule.threshold,
    )


def _nothing_to_choose(model, rule, validation_data):
  decisions = decided_networks.of_network(model)
  measure = decided_networks.Measurement(model, rule, validation_data)
  smaller, strategy = decided_networks.applied(model, rule, decisions)
  return Chosen(
      smaller,
      strategy,
      decisions=decisions,
      rows=[],
      costs=costs_lib.from_macs(model),
      ratios={},
      outcome="The network has no gates: there is nothing to choose.",
      accuracy=measure(decisions).accuracy,
  )
