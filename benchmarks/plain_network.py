"""A classifier as others train theirs: by Keras alone, for `accelerate`.

    python -m benchmarks.plain_network runs/plain.keras

MobileNetV2 (alpha 0.35) of Keras on `cluttered_digits` at 32 x 32 pixels,
behind a layer that scales its images, with the softmax that it comes with. Its
accuracy on the test split is printed.
"""

from absl import app
import keras
import numpy as np
import tensorflow as tf

import image_data
from trainers.settings import shared_flags

_SIZE = 32
_EPOCHS = 60
_BATCH_SIZE = 128
_CLASSES = 10


def build(image_shape):
  """The network, of random weights.

  Args:
    image_shape: (height, width, channels) of its images in [0, 255].
  """
  images = keras.Input(image_shape)
  scaled = keras.layers.Rescaling(1 / 127.5, offset=-1)(images)
  network = keras.applications.MobileNetV2(
      input_tensor=scaled, alpha=0.35, weights=None, classes=_CLASSES
  )
  for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      # Theirs averages over a thousand steps, and the last are 47 an epoch.
      layer.momentum = 0.9
  return network


def train(network, images, labels, *, epochs):
  """Trains a network as Keras's own guides do, on shifted images.

  Args:
    network: of probabilities.
    images: [n, height, width, channels].
    labels: integers [n].
    epochs: passes over them.
  """
  shift = keras.layers.RandomTranslation(1 / 8, 1 / 8, fill_mode="constant")
  inputs = keras.Input(images.shape[1:])
  augmented = keras.Model(inputs, network(shift(inputs)))
  steps = epochs * -(-len(images) // _BATCH_SIZE)
  rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
  augmented.compile(
      keras.optimizers.AdamW(rate, weight_decay=1e-4),
      keras.losses.SparseCategoricalCrossentropy(),
      metrics=["accuracy"],
  )
  augmented.fit(
      images, labels, batch_size=_BATCH_SIZE, epochs=epochs, verbose=2
  )


def _read(dataset, split):
  images, labels = dataset.arrays(split)
  images = tf.image.resize(images, (_SIZE, _SIZE))
  return images.numpy(), np.asarray(labels)


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the .keras file to write.")
  keras.utils.set_random_seed(0)
  dataset = image_data.open_dataset(
      "cluttered_digits", data_dir=shared_flags.DATA_DIR.value
  )
  images, labels = _read(dataset, "train")
  network = build(images.shape[1:])
  train(network, images, labels, epochs=_EPOCHS)
  network.save(argv[1])
  images, labels = _read(dataset, "test")
  found = network.predict(images, verbose=0).argmax(axis=-1)
  print(f"{100 * np.mean(found == labels):.2f} % of {len(labels)} test images.")


if __name__ == "__main__":
  app.run(main)
