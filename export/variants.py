"""The forms a network is exported in, and what a strategy makes of it."""

from collections.abc import Sequence
import dataclasses

import pgates

GATINGS = ("fixed", "dynamic")
FORMATS = ("saved_model", "tflite")
QUANTIZATIONS = ("none", "float16", "dynamic_range", "int8")

_RANDOM = ("sampled", "ensemble")
_SCALED = ("expected", "always_open")
# What goes with what; docs/export.md shows it as a table.
STRATEGIES = {
    ("dynamic", "saved_model"): (
        *("map", "threshold", "budget"),
        *_SCALED,
        *_RANDOM,
    ),
    ("dynamic", "tflite"): ("map", "threshold", "budget"),
    ("fixed", "saved_model"): (
        *("map", "threshold", "prune", "top_k"),
        "always_open",
    ),
    ("fixed", "tflite"): ("map", "threshold", "prune", "top_k", "always_open"),
}
_REASONS = {
    "prune": "it drops blocks for all inputs, which is fixed gating",
    "top_k": "it drops blocks for all inputs, which is fixed gating",
    "budget": "its threshold is met by skipping per input, which is dynamic",
    "expected": "every block runs, scaled: nothing is skipped or removed",
    "sampled": "TF-Lite has no such random operation, fixed gates no noise",
    "ensemble": "TF-Lite has no such random operation, fixed gates no noise",
    "always_open": "nothing is skipped: export it with fixed gating",
}


@dataclasses.dataclass(frozen=True)
class Variant:
  """One thing to export.

  Args:
    gating: `fixed` (blocks removed) or `dynamic` (blocks skipped per input).
    format: `saved_model` or `tflite`.
    quantization: of TF-Lite files; `none` for SavedModels.
  """

  gating: str
  format: str
  quantization: str = "none"

  @property
  def name(self) -> str:
    """`dynamic`, `fixed_int8`, ...: what the file's name ends in."""
    parts = [self.gating]
    if self.quantization != "none":
      parts.append(self.quantization)
    return "_".join(parts)


def all_variants(
    gatings: Sequence[str],
    formats: Sequence[str],
    quantizations: Sequence[str],
) -> list[Variant]:
  """The variants of lists of gatings, formats and quantizations.

  Raises:
    ValueError: if a name is unknown, or nothing can be quantized.
  """
  for flag, received, known in (
      ("gating", gatings, GATINGS),
      ("format", formats, FORMATS),
      ("quantization", quantizations, QUANTIZATIONS),
  ):
    unknown = [name for name in received if name not in known]
    if unknown or not received:
      raise ValueError(
          f"--{flag} takes names out of {', '.join(known)}, between commas. "
          f"Received: {','.join(received)}"
      )
  if "tflite" not in formats and any(name != "none" for name in quantizations):
    raise ValueError(
        "--quantization is of TF-Lite files, and --format has no tflite. "
        f"Received: --format={','.join(formats)} "
        f"--quantization={','.join(quantizations)}"
    )
  return [
      Variant(gating, kind, quantization)
      for gating in gatings
      for kind in formats
      for quantization in (quantizations if kind == "tflite" else ["none"])
  ]


def check_strategy(variant, strategy):
  """Refuses a strategy that cannot be had in a variant.

  Raises:
    ValueError: says why, and what goes.
  """
  name, _ = pgates.parse_strategy(strategy)
  allowed = STRATEGIES[variant.gating, variant.format]
  if name not in allowed:
    raise ValueError(
        f"--strategy={strategy} does not go with --gating={variant.gating} "
        f"--format={variant.format}: {_REASONS[name]}. What goes: "
        f"{', '.join(allowed)}."
    )


@dataclasses.dataclass(frozen=True)
class Decided:
  """A network with its gates decided as far as they can be beforehand.

  Args:
    model: the network to export; with fixed gating, the smaller one.
    strategy: what is left to do for each input.
    reference: a Keras model of the same decisions.
  """

  model: pgates.GatedModel
  strategy: str
  reference: pgates.GatedModel

  @property
  def threshold(self):
    """The threshold of the gates, or None where there is none."""
    name, argument = pgates.parse_strategy(self.strategy)
    return {"map": 0.5, "threshold": argument}.get(name)


def decide(model, strategy, gating, validation_data):
  """Decides what can be decided before the first input is seen.

  With fixed gating, `map` and `threshold:T` open a block for all inputs where
  they open it for more than half of the validation data; for data-independent
  gates that is the rule itself.

  Args:
    model: a `pgates.GatedModel`.
    strategy: see `STRATEGIES`.
    gating: `fixed` or `dynamic`.
    validation_data: batched `tf.data.Dataset` of (images, labels).

  Returns:
    A `Decided`.
  """
  name, argument = pgates.parse_strategy(strategy)
  if gating == "dynamic":
    if name == "budget":
      threshold = pgates.budget_threshold(model, argument, validation_data)
      strategy = f"threshold:{threshold}"
    return Decided(model, strategy, pgates.with_strategy(model, strategy))
  if name in ("prune", "top_k"):
    fixed = pgates.with_strategy(
        model, strategy, validation_data=validation_data
    )
  else:
    rates, _ = pgates.measure_gates(model, validation_data, strategy=strategy)
    closed = [i for i, rate in enumerate(rates) if rate <= 0.5]
    opened = set(range(len(rates))) - set(closed)
    fixed = pgates.prune(model, closed, opened=opened)
  return Decided(fixed, "always_open", fixed)
