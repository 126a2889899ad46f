"""Times the files of several exports beside each other.

    python -m export.time_exports --exports=plain,gated --workdir=runs/plain \
        --batch_sizes=1,8 --output=times.json

Each is a folder that `export.export_model` wrote. Files of one format take
turns in one process, on images of the run's data, loaded as a server or a
device loads them; ratios are to the first export. TF-Lite files take one image.
"""

import pathlib
import sys

from absl import app
from absl import flags
from absl import logging
import tensorflow as tf

from export.inputs import data as data_lib
from export.inputs import source as source_lib
from export.timing import export_times
from file_io import artifacts
from file_io import endings
from file_io import path_flags
from file_io import writable

_EXPORTS = flags.DEFINE_list(
    "exports", [], "Folders; times are by those of the first"
)
_WORKDIR = path_flags.define(
    "workdir", None, "Folder of a finished run, on whose images they are timed"
)
_DATA_DIR = path_flags.define_data("data_dir", None, "Default: the run's")
_IMAGE_FOLDER = path_flags.define(
    "image_folder", None, "Where the images of a run on a folder are now"
)
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Of SavedModels")
_OUTPUT = path_flags.define("output", None, "File to write")
_NUM_IMAGES = 64


def _images(source):
  data = data_lib.read_data(
      source,
      split="validation",
      labels=None,
      num_examples=_NUM_IMAGES,
      num_calibration=1,
  )
  return data.examples.images


@endings.in_one_line("export.time_exports", "What was there stays.")
def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f"Expected flags only. Received: {argv[1:]}")
  logging.set_verbosity(logging.WARNING)
  tf.get_logger().setLevel("ERROR")  # What loads graphs is deprecated.
  try:
    sizes = [int(size) for size in _BATCH_SIZES.value]
    if not sizes or min(sizes) < 1 or not _EXPORTS.value:
      raise ValueError(
          "--exports takes folders, --batch_sizes whole numbers from 1. "
          f"Received: {_EXPORTS.value}, {_BATCH_SIZES.value}"
      )
    writable.check_file(pathlib.Path(_OUTPUT.value), instead="--output")
    source = source_lib.open_source(
        workdir=_WORKDIR.value,
        data_dir=_DATA_DIR.value,
        image_folder=_IMAGE_FOLDER.value,
    )
    folders = [pathlib.Path(folder).expanduser() for folder in _EXPORTS.value]
    rows = export_times.measure(folders, _images(source), sizes)
  except (ValueError, OSError) as error:
    sys.exit(f"export.time_exports: {error}")
  command = ["python", "-m", "export.time_exports", *sys.argv[1:]]
  artifacts.write_json(_OUTPUT.value, {"command": command, "rows": rows})
  for row in rows:
    ratios = "  ".join(
        f"batch {size}: {ratio:.2f}"
        for size, ratio in row["time_ratios"].items()
    )
    print(f"{row['export']}/{row['path']}  {ratios}")


if __name__ == "__main__":
  flags.mark_flags_as_required(["workdir", "output"])
  app.run(main)
