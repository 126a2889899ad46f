"""A whole export: every variant, the table, and `export.json`."""

import dataclasses
import pathlib
import sys

import keras
import tensorflow as tf

from export import destination
from export import exporting
from export import sources
from export import variants
from export.checks import self_check
from export.saved_model import saved_models
from file_io import artifacts
import image_data
import pgates


@dataclasses.dataclass(frozen=True)
class Options:
  """The flags of `export.export_model`, which documents them."""

  output_dir: str
  workdir: str | None = None
  model: str | None = None
  import_modules: tuple[str, ...] = ()
  name: str = "model"
  gating: tuple[str, ...] = ("dynamic",)
  format: tuple[str, ...] = ("saved_model",)
  strategy: str = "map"
  quantization: tuple[str, ...] = ("none",)
  dataset: str | None = None
  data_dir: str | None = None
  image_size: int | None = None
  labels: str | None = None
  split: str = "test"
  num_examples: int = 2000
  num_calibration: int = 200
  max_bad_examples: int = 100
  verify_only: bool = False


def run(options):
  """Exports a network, or checks an existing export.

  Args:
    options: `Options`.

  Raises:
    CheckFailed: if a variant does not do what Keras does.
    FileNotFoundError: if there is no model or data set.
    OSError: if the folder cannot be written, or a file of the data set is
      damaged.
    ValueError: if options do not fit together, or more examples than allowed
      cannot be read.
  """
  chosen = variants.all_variants(
      options.gating, options.format, options.quantization
  )
  for variant in chosen:
    variants.check_strategy(variant, options.strategy)
  output_dir = pathlib.Path(options.output_dir).expanduser()
  path = output_dir / "export.json"
  if options.verify_only:
    exported = artifacts.read_json(path)
  else:
    names = [name_of(options.name, variant, chosen) for variant in chosen]
    destination.check(output_dir, names)
  source = sources.open_source(
      workdir=options.workdir,
      model=options.model,
      import_modules=options.import_modules,
      dataset=options.dataset,
      data_dir=options.data_dir,
      image_size=options.image_size,
  )
  bad_examples = image_data.BadExamples(options.max_bad_examples)
  with bad_examples.explained():
    data = sources.read_data(
        source,
        split=options.split,
        labels=options.labels,
        num_examples=options.num_examples,
        num_calibration=options.num_calibration,
        bad_examples=bad_examples,
    )
    if options.verify_only:
      verify(source, data, exported, output_dir=output_dir)
      return
    output_dir.mkdir(parents=True, exist_ok=True)
    exported = export_all(
        source,
        data,
        chosen,
        strategy=options.strategy,
        output_dir=output_dir,
        name=options.name,
    )
  artifacts.write_json(path, {**exported, "bad_examples": bad_examples.names})
  print_table(exported["variants"])
  print(f"Wrote {path}.")


def export_all(source, data, chosen, *, strategy, output_dir, name):
  """Exports all variants of a network and writes `export.json`.

  Args:
    source: a `sources.Source`.
    data: `exporting.Data`.
    chosen: list of `variants.Variant`.
    strategy: of the gates.
    output_dir: folder of all exports.
    name: under which the models are served.

  Returns:
    What `export.json` holds.

  Raises:
    CheckFailed: if a variant does not do what Keras does.
  """
  curve = pgates.threshold_curve(source.model, data.validation)
  decisions = _decisions(source, data, chosen, strategy)
  rows = []
  for i, variant in enumerate(chosen, start=1):
    print(f"[{i}/{len(chosen)}] {_title(variant)} ...", flush=True)
    decided = decisions[variant.gating]
    path, size, report = exporting.export_variant(
        variant,
        decided,
        data,
        output_dir=output_dir,
        name=name_of(name, variant, chosen),
        metadata=_metadata(decided, strategy, curve),
    )
    rows.append(
        {
            **dataclasses.asdict(variant),
            "path": str(path.relative_to(output_dir)),
            "bytes": size,
            "threshold": decided.threshold,
            "dense_macs": decided.model.macs.dense,
            **exporting.keras_results(decided, data.examples),
            **dataclasses.asdict(report),
        }
    )
  if any(variant.format == "saved_model" for variant in chosen):
    saved_models.write_models_config(output_dir)
  return {
      "command": ["python", "-m", "export.export_model", *sys.argv[1:]],
      "strategy": strategy,
      "dataset": source.dataset.name,
      "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
      "threshold_curve": curve,
      "variants": rows,
  }


def _decisions(source, data, chosen, strategy):
  """The `Decided` of each gating; a budget is measured once for it."""
  return {
      gating: variants.decide(source.model, strategy, gating, data.validation)
      for gating in {variant.gating for variant in chosen}
  }


def _variant(row):
  return variants.Variant(row["gating"], row["format"], row["quantization"])


def name_of(name, variant, chosen):
  """The file's name, or the served model's; both say what they must."""
  if variant.format == "tflite":
    return f"{name}_{variant.name}.tflite"
  served = {v.gating for v in chosen if v.format == "saved_model"}
  return f"{name}_{variant.gating}" if len(served) > 1 else name


def _title(variant):
  quantized = variant.quantization != "none"
  kind = f"{variant.format} {variant.gating}"
  return f"{kind} {variant.quantization}" if quantized else kind


def _metadata(decided, strategy, curve):
  macs = decided.model.macs
  return {
      "strategy": strategy,
      "threshold": decided.threshold,
      "macs": {"dense": macs.dense, "always": macs.always},
      "gates": [
          {"name": name, "macs": branch}
          for name, branch in zip(macs.names, macs.branches, strict=True)
      ],
      # On validation data; each request may choose a threshold by it.
      "threshold_curve": curve if decided.threshold is not None else [],
  }


def print_table(rows):
  """Prints the variants of `export.json`."""
  print(
      f"{'variant':<32}{'bytes':>13}{'MACs':>14}{'accuracy':>10}"
      f"{'Keras':>9}{'largest diff.':>15}{'gates equal':>13}"
  )
  for row in rows:
    title = _title(_variant(row))
    print(
        f"{title:<32}{row['bytes']:>13,}{row['macs']:>14,.0f}"
        f"{100 * row['accuracy']:>9.2f}%{100 * row['keras_accuracy']:>8.2f}%"
        f"{row['largest_difference']:>15.2e}"
        f"{100 * row['gate_agreement']:>12.2f}%"
    )


def verify(source, data, exported, *, output_dir):
  """Checks the variants of an existing `export.json` again.

  Raises:
    CheckFailed: if a variant does not do what Keras does.
  """
  rows = exported["variants"]
  chosen = [_variant(row) for row in rows]
  decisions = _decisions(source, data, chosen, exported["strategy"])
  for variant, row in zip(chosen, rows, strict=True):
    report = self_check.check(
        output_dir / row["path"],
        variant,
        decisions[variant.gating],
        data.examples,
    )
    print(f"{_title(variant)}: {report}", flush=True)
