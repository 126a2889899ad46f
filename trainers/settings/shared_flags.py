"""Flags that several programs share."""

import os

from absl import flags

from file_io import path_flags
from run_data import reader

WORKDIR = path_flags.define(
    "workdir",
    None,
    "The folder of the run: config.json, checkpoints/, model.keras, "
    "history.jsonl, tensorboard/, evaluation.json.",
)
MAX_BAD_EXAMPLES = flags.DEFINE_integer(
    "max_bad_examples",
    100,
    "Images that cannot be decoded, or have no valid label, are skipped and "
    "named in the log; with more than so many, the program stops",
    lower_bound=0,
)
DATA_DIR = path_flags.define_data(
    "data_dir",
    os.path.expanduser("~/tensorflow_datasets"),
    "The folder of the data sets prepared by TensorFlow Datasets.",
)
IMAGE_FOLDER = path_flags.define(
    "image_folder",
    None,
    "A folder train/CLASS/*.jpg (and val, test), or CLASS/*.jpg, instead of "
    "--dataset; of a run on such a folder, where it is now",
)


def place_of_data() -> reader.Place:
  """Where the data of a finished run are, if flags say so."""
  return reader.Place(
      data_dir=DATA_DIR.value if DATA_DIR.present else None,
      image_folder=IMAGE_FOLDER.value,
  )
