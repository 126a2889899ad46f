"""The networks that a benchmark compares, by name, and their files."""

from collections.abc import Mapping
import dataclasses
import os
import pathlib
import tempfile

import numpy as np
import tensorflow as tf

from export import exporting
from export.decisions import auto_gating
from export.decisions import decided_networks
from export.saved_model import saved_models
from export.saved_model import serving
from export.tflite import conversion
import pgates

NAMES = (
    "ungated",  # Trained without gates.
    "all_open",  # The gated network with every gate open for good.
    "masked",
    "dynamic",
    "settled",
    "auto",
    "fixed",
    "removed",
)


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A network to measure.

  Args:
    model: the network.
    strategy: what is left to decide for each input; needs no data.
    execution: of its gates.
  """

  model: pgates.GatedModel
  strategy: pgates.Strategy
  execution: str = "routed"

  def write(self, path: str | os.PathLike, format: str) -> None:
    """Writes the file that a user would export: `saved_model` or `tflite`."""
    if format == "tflite":
      execution = "conditional" if self.execution == "routed" else "masked"
      content = conversion.convert(
          self.model,
          dynamic=self.strategy.threshold is not None,
          execution=execution,
      )
      pathlib.Path(path).write_bytes(content)
      return
    with tempfile.TemporaryDirectory() as assets:
      labels, gates = (pathlib.Path(assets, name) for name in ("l", "g"))
      labels.touch()
      gates.write_text("{}")
      server = serving.Server(
          self.model,
          self.strategy,
          labels=labels,
          gates=gates,
          execution=self.execution,
      )
      saved_models.write(server, path, name="benchmark")

  def measured(self, data: tf.data.Dataset) -> dict[str, float]:
    """Accuracy, and mean of the executed multiply-adds, on labelled data."""
    decided = pgates.with_strategy(self.model, self.strategy)
    return exporting.measure(decided, data)


def of_rule(
    model: pgates.GatedModel, rule: pgates.Strategy
) -> Mapping[str, Candidate]:
  """What decides every gate for each input, beside all gates open."""
  blocks = range(len(pgates.gated_blocks(model)))
  return {
      "all_open": without_gates(model, blocks),
      "masked": Candidate(model, rule, "masked"),
      "dynamic": Candidate(model, rule),
  }


def decided(
    model: pgates.GatedModel,
    rule: pgates.Strategy,
    validation: tf.data.Dataset,
    *,
    format: str,
    batch_size: int,
) -> Mapping[str, Candidate]:
  """What decides some gates, or all, for good on validation data."""
  settled = pgates.parse_strategy(f"settled:{rule}")
  options = auto_gating.Options(batch_size=batch_size)
  auto = auto_gating.choose(
      model, rule, validation, format=format, options=options
  )
  always = pgates.parse_strategy("always_open")
  return {
      "settled": Candidate(*settled.resolve(model, validation)),
      "auto": Candidate(auto.model, auto.strategy),
      "fixed": Candidate(rule.fix(model, validation), always),
  }


def removed(model: pgates.GatedModel, gates: np.ndarray) -> Candidate:
  """The network without the blocks that one image closes: the limit.

  Args:
    model: the network.
    gates: bool [blocks].
  """
  return without_gates(model, np.flatnonzero(gates).tolist())


def without_gates(model, opened):
  """The network of some blocks, without any gate."""
  blocks = set(range(len(pgates.gated_blocks(model))))
  smaller = decided_networks.opened(model, blocks - set(opened))
  return Candidate(smaller, pgates.parse_strategy("always_open"))
