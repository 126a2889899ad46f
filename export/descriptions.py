"""What is said of exports: in their files, and in the printed table."""

import dataclasses
import sys
from typing import Any

import keras
import tensorflow as tf

from export import exporting
from export import time_ratios
from export import variants
from export.checks import self_check
from export.decisions import dropped_blocks
from export.inputs import source as source_lib
import pgates

Json = dict[str, Any]
# What `verify` relies on in `export.json`.
SHAPE = {
    "strategy": str,
    "variants": [
        dict.fromkeys(("gating", "format", "quantization", "path"), str)
    ],
}


def title(variant: variants.Variant) -> str:
  """What a variant is called in what is printed."""
  quantized = variant.quantization != "none"
  kind = f"{variant.format} {variant.gating.replace('_', ' ')}"
  return f"{kind} {variant.quantization}" if quantized else kind


def variant_of(row: Json) -> variants.Variant:
  """The variant that a row of `export.json` is about."""
  return variants.Variant(row["gating"], row["format"], row["quantization"])


def metadata(
    decided: dropped_blocks.Decided,
    strategy: pgates.Strategy,
    curve: list[Json],
) -> Json:
  """What `gates.json`, beside a served model, holds."""
  macs = decided.model.macs
  return {
      "strategy": str(strategy),
      "threshold": decided.threshold,
      "macs": {"dense": macs.dense, "always": macs.always},
      "gates": [
          {"name": name, "macs": branch}
          for name, branch in zip(macs.names, macs.branches, strict=True)
      ],
      # On validation data; each request may choose a threshold by it.
      "threshold_curve": curve if decided.threshold is not None else [],
      **_auto(decided),
  }


def _auto(decided):
  return {"auto": decided.chosen} if decided.chosen else {}


def row(
    variant: variants.Variant,
    decided: dropped_blocks.Decided,
    examples: self_check.Examples,
    file: Json,
    report: self_check.Report,
) -> Json:
  """What `export.json` holds of one variant.

  Args:
    variant: the form that was exported.
    decided: the network that was exported.
    examples: that Keras is measured on.
    file: its `path` and `bytes`.
    report: what the check has found.
  """
  return {
      **dataclasses.asdict(variant),
      **file,
      "threshold": decided.threshold,
      "dense_macs": decided.model.macs.dense,
      **exporting.keras_results(decided, examples),
      **dataclasses.asdict(report),
      **_auto(decided),
  }


def whole(
    source: source_lib.Source,
    strategy: pgates.Strategy,
    curve: list[Json],
    times: time_ratios.Times,
) -> Json:
  """What `export.json` holds, but for images that could not be read."""
  return {
      "command": ["python", "-m", "export.export_model", *sys.argv[1:]],
      "strategy": str(strategy),
      "dataset": source.dataset.name,
      "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
      "threshold_curve": curve,
      "variants": times.rows,
      "references": times.references,
      "limits": times.limits,
  }


def print_table(exported: Json) -> None:
  """Prints the files of an `export.json`, those of a format together.

  Networks that the files are compared with come first.
  """
  references = exported["references"]
  rows = sorted(
      [*references, *exported["variants"]], key=lambda row: row["format"]
  )
  print(
      f"{'variant':<32}{'accuracy':>10}{'MACs':>14}{'time':>7}{'bytes':>13}"
      f"{'Keras':>9}{'largest diff.':>15}{'gates equal':>13}"
  )
  for row in rows:
    ratio = row.get("time_ratio")
    line = (
        f"{title(variant_of(row)):<32}{100 * row['accuracy']:>9.2f}%"
        f"{row['macs']:>14,.0f}{'' if ratio is None else f'{ratio:.2f}':>7}"
        f"{row['bytes']:>13,}{100 * row['keras_accuracy']:>8.2f}%"
    )
    if "gate_agreement" in row:
      line += (
          f"{row['largest_difference']:>15.2e}"
          f"{100 * row['gate_agreement']:>12.2f}%"
      )
    print(line)
  for line in _explained(references):
    print(line)


def _explained(references):
  names = {row["gating"] for row in references}
  lines = []
  if "ungated" in names:
    lines.append("ungated: trained without gates, the run of --reference.")
  if "all_open" in names:
    lines.append("all open: the gated network with every gate open for good.")
    first = references[0]["gating"].replace("_", " ")
    lines.append(f"time: of that of `{first}`, same format, in one run.")
  return lines
