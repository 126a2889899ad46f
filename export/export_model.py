"""Exports a trained network to SavedModels for TF Serving and TF-Lite files.

    python -m export.export_model --workdir=runs/digits --output_dir=exported \
        --name=digits --gating=fixed,dynamic --format=saved_model,tflite

With dynamic gating each input skips its own blocks; with fixed gating blocks
are removed for all; auto, the default, measures what pays for each block, and
is never slower than the network without gates. Each variant is run in a fresh
process and compared with Keras before it is put in place. `docs/export.md` says
which strategy goes with which variant.
"""

import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from export import run
from export.checks import comparison
import pgates

_FLAGS = {
    "workdir": flags.DEFINE_string("workdir", None, "Folder of a finished run"),
    "model": flags.DEFINE_string(
        "model", None, "A .keras file, instead of --workdir"
    ),
    "import_modules": flags.DEFINE_list(
        "import_modules", [], "Modules that register custom layers of --model"
    ),
    "output_dir": flags.DEFINE_string(
        "output_dir", None, "Folder of all exports", required=True
    ),
    "name": flags.DEFINE_string("name", "model", "Under which it is served"),
    "gating": flags.DEFINE_list(
        "gating",
        ["auto"],
        "auto: of each block what pays; fixed; dynamic; several between commas",
    ),
    "format": flags.DEFINE_list(
        "format", ["saved_model"], "saved_model, tflite or both"
    ),
    "strategy": flags.DEFINE_string(
        "strategy",
        "map",
        f"Such as {', '.join(pgates.STRATEGY_EXAMPLES)}",
    ),
    "costs": flags.DEFINE_string(
        "costs",
        "measured",
        "By which --gating=auto chooses: measured on this machine; macs; or a "
        "file that export.measure_costs wrote on another",
    ),
    "max_accuracy_drop": flags.DEFINE_float(
        "max_accuracy_drop",
        0.1,
        "Points of validation accuracy that --gating=auto may lose against "
        "--strategy",
        lower_bound=0.0,
        upper_bound=100.0,
    ),
    "cost_batch_size": flags.DEFINE_integer(
        "cost_batch_size", 1, "That SavedModels are measured at", lower_bound=1
    ),
    "keep_probes": flags.DEFINE_string(
        "keep_probes",
        None,
        "Folder for single blocks, to run export.measure_costs on elsewhere",
    ),
    "quantization": flags.DEFINE_list(
        "quantization",
        ["none"],
        "Of TF-Lite files: none, float16, dynamic_range, int8",
    ),
    "dataset": flags.DEFINE_string("dataset", None, "Default: the run's"),
    "data_dir": flags.DEFINE_string("data_dir", None, "Default: the run's"),
    "image_size": flags.DEFINE_integer(
        "image_size",
        None,
        "Side in pixels that images are resized to; default: the run's",
        lower_bound=1,
    ),
    "labels": flags.DEFINE_string(
        "labels", None, "File of class names, one a line; default: the data's"
    ),
    "split": flags.DEFINE_enum(
        "split", "test", ["test", "validation"], "To report accuracy on"
    ),
    "num_examples": flags.DEFINE_integer(
        "num_examples", 2000, "Of that split, at most", lower_bound=1
    ),
    "num_calibration": flags.DEFINE_integer(
        "num_calibration", 200, "Training images for int8", lower_bound=1
    ),
    "max_bad_examples": flags.DEFINE_integer(
        "max_bad_examples",
        100,
        "Images that cannot be read are omitted and named in export.json; "
        "with more than so many, the program stops",
        lower_bound=0,
    ),
    "verify_only": flags.DEFINE_bool(
        "verify_only", False, "Check what --output_dir holds; write nothing"
    ),
}


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel("ERROR")  # Each variant is a graph of its own.
  options = run.Options(**{name: flag.value for name, flag in _FLAGS.items()})
  try:
    run.run(options)
  except (ValueError, OSError, ImportError, comparison.CheckFailed) as error:
    sys.exit(f"export.export_model: {error}")


if __name__ == "__main__":
  app.run(main)
