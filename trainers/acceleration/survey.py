"""A look at a trained network before it is made faster."""

import time
from typing import Any
from typing import NamedTuple

import numpy as np

import image_data
import pgates
from pgates.networks import network_files
from pgates.networks import networks
from run_data import reader

# A training step takes about as long as three forward passes, and one of the
# teacher; the rest of an epoch, an export and start-up of programs as was seen
# on two cores.
_PASSES = 5.0
_SECONDS_OF_PROGRAMS = 300
_BATCH = 32


class Survey(NamedTuple):
  """What was found.

  Attributes:
    text: to print.
    image_size: side in pixels that images are resized to.
  """

  text: str
  image_size: int | None


def survey(
    settings: dict[str, Any],
    dataset: image_data.ImageDataset,
    *,
    num_targets: int,
) -> Survey:
  """Finds a network's blocks, and about how long its acceleration will take.

  Args:
    settings: of the recipe, of `config.Config`; a network of `file:`.
    dataset: an `image_data.ImageDataset`.
    num_targets: rates that are tried.

  Returns:
    A `Survey`.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it holds no network that can be gated.
  """
  reader.import_modules(settings["import_modules"])
  path = networks.file_of(settings["network"])
  network = network_files.load(
      path, num_classes=dataset.num_classes, new_head=settings["new_head"]
  )
  height = network.inputs[0].shape[1]
  size = settings["image_size"] or height
  table = pgates.find_residuals(network)
  shape = [_BATCH, *network.inputs[0].shape[1:]]
  shape = [each or size or 224 for each in shape]
  images = np.zeros(shape, np.float32)
  network.predict_on_batch(images)
  start = time.perf_counter()
  network.predict_on_batch(images)
  seconds = time.perf_counter() - start
  steps = settings["epochs"] * dataset.num_examples("train") / _BATCH
  total = num_targets * (_PASSES * seconds * steps + _SECONDS_OF_PROGRAMS)
  text = (
      f"{table}\n{num_targets} targets of {settings['epochs']} epochs take "
      f"about {_time_text(total)}."
  )
  return Survey(text, size)


def _time_text(seconds):
  if seconds < 5400:
    return f"{max(seconds / 60, 1):.0f} min"
  return f"{seconds / 3600:.1f} h"
