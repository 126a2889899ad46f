"""Exports a trained network to SavedModels for TF Serving and TF-Lite files.

    python -m export.export_model --workdir=runs/digits --output_dir=exported \
        --name=digits --gating=fixed,dynamic --format=saved_model,tflite

With dynamic gating each input skips its own blocks; with fixed gating blocks
are removed for all; auto, the default, measures what pays for each block, and
keeps the fastest network that is accurate enough. Each variant is run in a
fresh process and compared with Keras before it is put in place.
`docs/export.md` says which strategy goes with which variant.
"""

import dataclasses
import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from export import run
from export.checks import comparison
from file_io import endings
from file_io import path_flags
import pgates


def _option(define, name, help_text, *arguments, **bounds):
  """A flag whose default is that of the option of its name."""
  (default,) = (
      field.default
      for field in dataclasses.fields(run.Options)
      if field.name == name
  )
  if default is dataclasses.MISSING:
    default, bounds = None, {**bounds, "required": True}
  if isinstance(default, tuple):
    default = list(default)
  return define(name, default, *arguments, help_text, **bounds)


_FLAGS = (
    _option(path_flags.define, "workdir", "Folder of a finished run"),
    _option(
        path_flags.define,
        "reference",
        "Folder of a finished run without gates (--gate=none), to be exported "
        "alike, timed and shown first",
    ),
    _option(path_flags.define, "model", "A .keras file, instead of --workdir"),
    _option(
        path_flags.define,
        "cascade_after",
        "Folder of the finished run of a cheaper network: that is asked first, "
        "and the exported one where its answer is not sure. Neither has gates",
    ),
    _option(
        flags.DEFINE_list,
        "import_modules",
        "Modules that register custom layers of --model",
    ),
    _option(path_flags.define, "output_dir", "Folder of all exports"),
    _option(flags.DEFINE_string, "name", "Under which it is served"),
    _option(
        flags.DEFINE_list,
        "gating",
        "auto: of each block what pays; fixed; dynamic; several between commas",
    ),
    _option(flags.DEFINE_list, "format", "saved_model, tflite or both"),
    _option(
        flags.DEFINE_string,
        "strategy",
        f"Such as {', '.join(pgates.STRATEGY_EXAMPLES)}",
    ),
    _option(
        path_flags.define,
        "costs",
        "By which --gating=auto chooses: measured on this machine; macs; or a "
        "file that export.measure_costs wrote on another",
    ),
    _option(
        flags.DEFINE_float,
        "max_accuracy_drop",
        "Points of validation accuracy that --gating=auto may lose against "
        "--strategy",
        lower_bound=0.0,
        upper_bound=100.0,
    ),
    _option(
        flags.DEFINE_integer,
        "cost_batch_size",
        "That SavedModels are measured at",
        lower_bound=1,
    ),
    _option(
        path_flags.define,
        "keep_probes",
        "Folder for single blocks, to run export.measure_costs on elsewhere",
    ),
    _option(
        flags.DEFINE_list,
        "quantization",
        "Of TF-Lite files: none, float16, dynamic_range, int8",
    ),
    _option(flags.DEFINE_string, "dataset", "Default: the run's"),
    _option(path_flags.define_data, "data_dir", "Default: the run's"),
    _option(
        path_flags.define,
        "image_folder",
        "A folder train/CLASS/*.jpg (and val, test) instead of --dataset; of a "
        "run on such a folder, where it is now",
    ),
    _option(
        flags.DEFINE_integer,
        "image_size",
        "Side in pixels that images are resized to; default: the run's",
        lower_bound=1,
    ),
    _option(
        path_flags.define,
        "labels",
        "File of class names, one a line; default: the data's",
    ),
    _option(
        flags.DEFINE_enum,
        "split",
        "To report accuracy on",
        ["test", "validation"],
    ),
    _option(
        flags.DEFINE_integer,
        "num_examples",
        "Of that split, at most",
        lower_bound=1,
    ),
    _option(
        flags.DEFINE_integer,
        "num_calibration",
        "Training images for int8",
        lower_bound=1,
    ),
    _option(
        flags.DEFINE_integer,
        "max_bad_examples",
        "Images that cannot be read are omitted and named in export.json; "
        "with more than so many, the program stops",
        lower_bound=0,
    ),
    _option(
        flags.DEFINE_bool,
        "verify_only",
        "Check what --output_dir holds; write nothing",
    ),
)


@endings.in_one_line("export.export_model", "What was there stays.")
def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel("ERROR")  # Each variant is a graph of its own.
  options = run.Options(**{flag.name: flag.value for flag in _FLAGS})
  try:
    run.run(options)
  except (ValueError, OSError, ImportError, comparison.CheckFailed) as error:
    sys.exit(f"export.export_model: {error}")


if __name__ == "__main__":
  app.run(main)
