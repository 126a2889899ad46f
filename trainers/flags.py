"""Flags that several programs share."""

import os

from absl import flags

WORKDIR = flags.DEFINE_string(
    "workdir",
    None,
    "The folder of the run: config.json, checkpoints/, model.keras, "
    "history.jsonl, tensorboard/, evaluation.json.",
    required=True,
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    os.path.expanduser("~/tensorflow_datasets"),
    "The folder of the data sets prepared by TensorFlow Datasets.",
)
