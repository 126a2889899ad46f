"""What a network answers of each example: `predictions.npz`."""

import dataclasses
import os
import pathlib
import zipfile

import numpy as np
import tensorflow as tf

from file_io import artifacts
import pgates

NAME = "predictions.npz"
SPLITS = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Of one network, on one split.

  Args:
    logits: float array [examples, classes].
    labels: integer array [examples].
    macs: executed multiply-adds, [examples].
  """

  logits: np.ndarray
  labels: np.ndarray
  macs: np.ndarray

  @property
  def right(self) -> np.ndarray:
    """Which examples are classified rightly, bool [examples]."""
    return self.logits.argmax(axis=1) == self.labels


def predict(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    *,
    validation: tf.data.Dataset,
    test: tf.data.Dataset,
) -> dict[str, Predictions]:
  """Runs a network over both splits.

  Args:
    model: a `pgates.GatedModel`.
    strategy: that decides; what it measures, it measures on validation data.
    validation: data set of (images, labels), batched.
    test: the same.

  Returns:
    Predictions by split.

  Raises:
    ValueError: if a split holds no example.
  """
  resolved, left = strategy.resolve(model, validation)
  decided = pgates.with_strategy(resolved, left)

  def per_example(outputs, labels):
    return {
        "logits": outputs["logits"],
        "labels": labels,
        "macs": resolved.macs.executed(outputs["gates"]).numpy(),
    }

  return {
      split: Predictions(**pgates.collect(decided, dataset, per_example))
      for split, dataset in zip(SPLITS, (validation, test), strict=True)
  }


def write(path: str | os.PathLike, predictions: dict[str, Predictions]) -> None:
  """Writes predictions by split: arrays `SPLIT_logits`, `_labels`, `_macs`.

  Args:
    path: of the file.
    predictions: as of `predict`.
  """
  arrays = {
      f"{split}_{name}": array
      for split, each in predictions.items()
      for name, array in vars(each).items()
  }
  with artifacts.replacing(path) as temporary:
    np.savez(temporary, **arrays)


def read(path: str | os.PathLike) -> dict[str, Predictions]:
  """Reads what `write` wrote.

  Args:
    path: of the file.

  Returns:
    Predictions by split.

  Raises:
    FileNotFoundError: if there is no file.
    ValueError: if it is another file, or damaged.
  """
  names = [field.name for field in dataclasses.fields(Predictions)]
  try:
    with np.load(pathlib.Path(path)) as arrays:
      return {
          split: Predictions(**{n: arrays[f"{split}_{n}"] for n in names})
          for split in SPLITS
      }
  except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
    raise ValueError(
        f"{path} does not hold the predictions of a network, or is damaged "
        f"({error}). `python -m trainers.evaluate --predictions` writes them."
    ) from error
