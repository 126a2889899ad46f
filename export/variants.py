"""The forms a network is exported in, and what a strategy makes of it."""

from collections.abc import Sequence
import dataclasses

import pgates

GATINGS = ("fixed", "dynamic", "auto")
FORMATS = ("saved_model", "tflite")
QUANTIZATIONS = ("none", "float16", "dynamic_range", "int8")


@dataclasses.dataclass(frozen=True)
class Variant:
  """One thing to export.

  Args:
    gating: `fixed` (blocks removed), `dynamic` (blocks skipped per input), or
      `auto` (of each block, what pays).
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


def check_strategy(variant: Variant, strategy: pgates.Strategy) -> None:
  """Refuses a strategy that cannot be had in a variant.

  Raises:
    ValueError: says why, and what goes.
  """
  reason = _refusal(variant, strategy)
  if reason is not None:
    raise ValueError(
        f"--strategy={strategy} does not go with --gating={variant.gating} "
        f"--format={variant.format}: {reason}. What goes: "
        f"{', '.join(allowed(variant))}."
    )


def allowed(variant: Variant) -> list[str]:
  """Names of the strategies that go with a variant, as docs/export.md shows."""
  examples = map(pgates.parse_strategy, pgates.STRATEGY_EXAMPLES)
  return [each.name for each in examples if _refusal(variant, each) is None]


def _refusal(variant, strategy):
  """Why a strategy does not go with a variant; None if it does."""
  if variant.gating == "fixed":
    return _fixed_refusal(strategy)
  if variant.gating == "auto":
    return _auto_refusal(strategy)
  if strategy.is_fixed:
    return "it drops blocks for all inputs, which is fixed gating"
  if variant.format == "saved_model":
    return None
  if strategy.is_random:
    return "TF-Lite has no such random operation"
  if not strategy.decides_per_input:
    return "nothing is skipped: export it with fixed gating"
  return None


def _auto_refusal(strategy):
  if strategy.is_fixed:
    return "it leaves no gate to choose about: give --gating=fixed"
  if strategy.is_random or not strategy.decides_per_input:
    return "it has no threshold by which gates skip: give --gating=dynamic"
  return None


def _fixed_refusal(strategy):
  if strategy.can_be_fixed:
    return None
  if strategy.is_random:
    return "fixed gates have no noise"
  if strategy.needs_data:
    return "it skips per input, which is dynamic gating"
  return "every block runs, scaled: nothing is removed"
