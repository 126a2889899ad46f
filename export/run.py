"""A whole export: every variant, the table, and `export.json`."""

from collections.abc import Iterable
import contextlib
import dataclasses
import pathlib
from typing import Any

from export import descriptions
from export import destination
from export import exporting
from export import time_ratios
from export import variants
from export.checks import self_check
from export.decisions import auto_gating
from export.decisions import dropped_blocks
from export.inputs import data as data_lib
from export.inputs import source as source_lib
from export.timing import costs as costs_lib
from file_io import artifacts
from file_io import writable
import image_data
import pgates


@dataclasses.dataclass(frozen=True)
class Options:
  """The flags of `export.export_model`, which documents them.

  Their defaults are these.
  """

  output_dir: str
  workdir: str | None = None
  reference: str | None = None
  model: str | None = None
  cascade_after: str | None = None
  import_modules: tuple[str, ...] = ()
  name: str = "model"
  gating: tuple[str, ...] = ("auto",)
  format: tuple[str, ...] = ("saved_model",)
  strategy: str = "map"
  costs: str = auto_gating.Options.costs
  max_accuracy_drop: float = auto_gating.Options.max_accuracy_drop
  cost_batch_size: int = auto_gating.Options.batch_size
  keep_probes: str | None = auto_gating.Options.keep_probes
  quantization: tuple[str, ...] = ("none",)
  dataset: str | None = None
  data_dir: str | None = None
  image_folder: str | None = None
  image_size: int | None = None
  labels: str | None = None
  split: str = "test"
  num_examples: int = 2000
  num_calibration: int = 200
  max_bad_examples: int = 100
  verify_only: bool = False

  @property
  def of_auto(self) -> auto_gating.Options:
    """How --gating=auto chooses."""
    return auto_gating.Options(
        costs=self.costs,
        max_accuracy_drop=self.max_accuracy_drop,
        batch_size=self.cost_batch_size,
        keep_probes=self.keep_probes,
    )


def run(options: Options) -> None:
  """Exports a network, or checks an existing export.

  Args:
    options: the flags.

  Raises:
    CheckFailed: if a variant does not do what Keras does.
    FileNotFoundError: if there is no model or data set.
    OSError: if the folder cannot be written, or another process exports into
      it, or a file of the data set is damaged.
    ValueError: if options do not fit together, or more examples than allowed
      cannot be read.
  """
  chosen = variants.all_variants(
      options.gating, options.format, options.quantization
  )
  strategy, auto = pgates.parse_strategy(options.strategy), options.of_auto
  for variant in chosen:
    variants.check_strategy(variant, strategy)
  output_dir = pathlib.Path(options.output_dir).expanduser()
  if options.verify_only:
    exported = artifacts.read_json(
        output_dir / "export.json",
        descriptions.SHAPE,
        writer="export.export_model",
    )
    source = _source(options)
    with _data(source, options) as (data, _):
      verify(source, data, exported, output_dir=output_dir)
    return
  names = [name_of(options.name, variant, chosen) for variant in chosen]
  destination.check(output_dir, names)
  if auto.keep_probes is not None:
    writable.check_folder(auto.keep_probes, instead="--keep_probes")
    if "saved_model" in options.format:
      destination.check_can_be_loaded(auto.keep_probes, "--keep_probes")
  with destination.staged(output_dir) as staging:
    with destination.naming_full_disk(output_dir):
      exported = _written(options, chosen, strategy, staging)
    _publish(exported, staging, output_dir)


def _written(options, chosen, strategy, staging):
  """Writes all variants to a folder; what `export.json` is to hold."""
  source = _source(options)
  _check(source.model, chosen, strategy, options.costs)
  reference = None
  if options.reference is not None:
    reference = source_lib.open_reference(options.reference, source)
  with _data(source, options) as (data, bad_examples):
    exported = export_all(
        *(source, data, chosen),
        strategy=strategy,
        options=options,
        folder=staging,
        reference=reference,
    )
  return {**exported, "bad_examples": bad_examples.names}


def _publish(exported, staging, output_dir):
  """Puts the variants in their places, and says where they are."""
  rows = exported["variants"]
  places = destination.publish(
      staging, output_dir, [row["path"] for row in rows]
  )
  rows = [{**row, "path": places[row["path"]]} for row in rows]
  path = output_dir / "export.json"
  artifacts.write_json(path, {**exported, "variants": rows})
  descriptions.print_table(exported)
  print(f"Wrote {path}.")


def _source(options):
  return source_lib.open_source(
      workdir=options.workdir,
      model=options.model,
      cascade_after=options.cascade_after,
      import_modules=options.import_modules,
      dataset=options.dataset,
      data_dir=options.data_dir,
      image_folder=options.image_folder,
      image_size=options.image_size,
  )


def _check(model, chosen, strategy, costs):
  """Refuses, before any work, what cannot be decided about a network."""
  strategy.check(model)
  if costs in costs_lib.SOURCES:
    return
  for format in dict.fromkeys(v.format for v in chosen if v.gating == "auto"):
    costs_lib.read(costs, model, format)


@contextlib.contextmanager
def _data(source, options):
  """Yields `(Data, BadExamples)`, and explains what cannot be read."""
  bad_examples = image_data.BadExamples(options.max_bad_examples)
  with bad_examples.explained():
    data = data_lib.read_data(
        source,
        split=options.split,
        labels=options.labels,
        num_examples=options.num_examples,
        num_calibration=options.num_calibration,
        bad_examples=bad_examples,
    )
    yield data, bad_examples


def export_all(
    source: source_lib.Source,
    data: data_lib.Data,
    chosen: list[variants.Variant],
    *,
    strategy: pgates.Strategy,
    options: Options,
    folder: pathlib.Path,
    reference: pgates.GatedModel | None = None,
) -> dict[str, Any]:
  """Writes, checks and times all variants of a network.

  Args:
    source: the network.
    data: to decide, check and measure on.
    chosen: what to export.
    strategy: of the gates.
    options: the flags.
    folder: to write to.
    reference: a network without gates to compare with, or None.

  Returns:
    What `export.json` holds, with the paths in this folder.

  Raises:
    CheckFailed: if a variant does not do what Keras does.
  """
  curve = pgates.threshold_curve(source.model, data.validation)
  decided_all = dropped_blocks.decide_all(
      source.model,
      strategy,
      chosen,
      data.validation,
      options.of_auto,
  )
  rows = []
  for i, variant in enumerate(chosen, start=1):
    print(f"[{i}/{len(chosen)}] {descriptions.title(variant)} ...", flush=True)
    decided = decided_all[variant.gating, variant.format]
    path, size, report = exporting.export_variant(
        *(variant, decided, data),
        folder=folder,
        name=name_of(options.name, variant, chosen),
        metadata=descriptions.metadata(decided, strategy, curve),
    )
    file = {"path": str(path.relative_to(folder)), "bytes": size}
    rows.append(descriptions.row(variant, decided, data.examples, file, report))
  times = time_ratios.Times(rows, [], {})
  if options.costs == "measured":
    times = time_ratios.measure(
        rows,
        time_ratios.Networks(source.model, strategy, reference),
        data,
        folder=folder,
        batch_size=options.cost_batch_size,
    )
  return descriptions.whole(source, strategy, curve, times)


def name_of(
    name: str, variant: variants.Variant, chosen: Iterable[variants.Variant]
) -> str:
  """The file's name, or the served model's; both say what they must."""
  if variant.format == "tflite":
    return f"{name}_{variant.name}.tflite"
  served = {v.gating for v in chosen if v.format == "saved_model"}
  return f"{name}_{variant.gating}" if len(served) > 1 else name


def verify(
    source: source_lib.Source,
    data: data_lib.Data,
    exported: dict[str, Any],
    *,
    output_dir: pathlib.Path,
) -> None:
  """Checks the variants of an existing export again.

  Args:
    source: the network.
    data: to decide and check on.
    exported: what `export.json` holds.
    output_dir: folder of all exports.

  Raises:
    CheckFailed: if a variant does not do what Keras does.
  """
  rows = exported["variants"]
  chosen = [descriptions.variant_of(row) for row in rows]
  strategy = pgates.parse_strategy(exported["strategy"])
  decided_all = dropped_blocks.restore_all(
      source.model, strategy, rows, data.validation
  )
  for variant, row in zip(chosen, rows, strict=True):
    report = self_check.check(
        output_dir / row["path"],
        variant,
        decided_all[variant.gating, variant.format],
        data.examples,
    )
    print(f"{descriptions.title(variant)}: {report}", flush=True)
