"""Networks that scripts of plain Keras trained and saved."""

import os
import pathlib

import keras
import numpy as np

import image_data
from tests.helpers import residual_networks


def save_digits(
    folder: pathlib.Path, data_dir: str | os.PathLike, *, epochs: int
) -> tuple[keras.Model, pathlib.Path]:
  """Trains a small MobileNetV2 on digits in 0..1; returns it and its file."""
  dataset = image_data.open_dataset("digits", data_dir=data_dir)
  images, labels = (np.asarray(x) for x in dataset.arrays("train"))
  network = residual_networks.inverted_residuals(8)
  network.compile("adam", "sparse_categorical_crossentropy")
  network.fit(images / 255.0, labels, epochs=epochs, batch_size=32, verbose=0)
  path = folder / "mine.keras"
  network.save(path)
  return network, path
