"""Networks that scripts of plain Keras save, through `trainers.accelerate`."""

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
from PIL import Image
import pytest
import tensorflow as tf

import image_data
from trainers import accelerate

_ROOT = pathlib.Path(accelerate.__file__).parent.parent
_CLASSES = ("blue", "green", "red")
_COUNTS = {"train": 40, "val": 20, "test": 20}  # Of each class.
_SIZE = 32

# What a user has run. Nothing of ours is imported.
_RESNET = """
def block(x, filters, strides=1):
  y = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
  y = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(y))
  y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
  y = layers.BatchNormalization(momentum=0.9)(y)
  if strides > 1:
    x = layers.Conv2D(filters, 1, strides, use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
  return layers.ReLU()(layers.Add()([x, y]))

images = keras.Input((32, 32, 3))
x = layers.ReLU()(layers.Conv2D(8, 3, padding="same")(images))
for filters, strides in ((8, 1), (8, 1), (16, 2), (16, 1)):
  x = block(x, filters, strides)
x = layers.GlobalAveragePooling2D()(x)
model = keras.Model(images, layers.Dense(3, activation="softmax")(x))
loss = "sparse_categorical_crossentropy"
scale = 1 / 255
"""
_MOBILENET = """
base = keras.applications.MobileNetV3Large(
    weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg"
)
for layer in base.layers:
  if isinstance(layer, layers.BatchNormalization):
    layer.momentum = 0.9  # Not .999: this is short.
x = layers.Dropout(0.2)(base.output)
x = layers.Dense(3, activation="softmax", name="colours")(x)
model = keras.Model(base.input, x)
loss = "sparse_categorical_crossentropy"
scale = 1.0  # It has a Rescaling layer of its own.
"""
_PREACTIVATION = """
def block(x, filters):
  y = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
  y = layers.Conv2D(filters, 3, padding="same")(y)
  y = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(y))
  return x + layers.Conv2D(filters, 3, padding="same")(y)

features = keras.Input((16, 16, 8))
x = features
for _ in range(3):
  x = block(x, 8)
backbone = keras.Model(features, x, name="backbone")
images = keras.Input((32, 32, 3))
x = backbone(layers.Conv2D(8, 3, 2, padding="same")(images))
x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
model = keras.Model(images, layers.Dense(3)(x))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
scale = 1 / 255
"""
_SCRIPT = """
import sys
import keras
from keras import layers

keras.utils.set_random_seed(0)
{network}
data = keras.utils.image_dataset_from_directory(
    "photos/train", image_size=(32, 32), batch_size=6, seed=0
)
data = data.map(lambda images, labels: (images * scale, labels))
model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
model.fit(data, epochs={epochs}, verbose=0)
model.save("mine.keras")
assert "pgates" not in sys.modules
"""
_NETWORKS = {
    "resnet": (_RESNET, 6, "unit"),
    "mobilenet_v3": (_MOBILENET, 12, "none"),
    "preactivation": (_PREACTIVATION, 6, "unit"),
}


def _write_photos(folder):
  """Noise with a tinge, which is the class."""
  generator = np.random.default_rng(0)
  for split, count in _COUNTS.items():
    for number, name in enumerate(reversed(_CLASSES)):
      (folder / split / name).mkdir(parents=True)
      for i in range(count):
        pixels = generator.integers(0, 200, (_SIZE, _SIZE, 3), dtype=np.uint8)
        pixels[:, :, number] += 55
        Image.fromarray(pixels).save(folder / split / name / f"{i}.png")


def _accuracy(folder, scale):
  """Of the network in the file, by Keras, on images as they are evaluated."""
  network = keras.models.load_model(folder / "mine.keras")
  # Of a folder of images, the middle is evaluated.
  prepare = image_data.EvaluationPreparation(
      (_SIZE, _SIZE, 3), center_crop=True
  )
  images, labels = [], []
  for number, name in enumerate(_CLASSES):
    for path in sorted((folder / "photos" / "test" / name).iterdir()):
      images.append(prepare(path.read_bytes()))
      labels.append(number)
  answers = network.predict(np.stack(images) * scale, verbose=0)
  return np.mean(answers.argmax(axis=1) == labels)


@pytest.mark.slow
@pytest.mark.parametrize("name", _NETWORKS)
def test_from_a_script_to_a_faster_network(name, tmp_path):
  network, epochs, scaling = _NETWORKS[name]
  _write_photos(tmp_path / "photos")
  subprocess.run(
      [sys.executable, "-c", _SCRIPT.format(network=network, epochs=epochs)],
      check=True,
      cwd=tmp_path,
  )
  expected = _accuracy(tmp_path, 1 / 255 if scaling == "unit" else 1.0)
  assert expected > 0.6
  finished = subprocess.run(
      [
          *(sys.executable, "-m", "trainers.accelerate"),
          f"--network=file:{tmp_path / 'mine.keras'}",
          *([f"--input_scaling={scaling}"] * (scaling != "none")),
          f"--image_folder={tmp_path / 'photos'}",
          *("--max_accuracy_drop=100", "--epochs=1", "--target_rates=0.6"),
          f"--output_dir={tmp_path / 'faster'}",
      ],
      check=True,
      cwd=_ROOT,
      stdout=subprocess.PIPE,
      text=True,
  )
  print(finished.stdout)
  result = json.loads((tmp_path / "faster" / "accelerated.json").read_text())
  given, *others = result["rows"]
  assert given["accuracy"] == pytest.approx(expected, abs=1e-6)
  assert {row["network"] for row in others} == {"given", "rate_0.6"}
  gated = [row for row in others if row["network"] == "rate_0.6"]
  assert all(row["macs"] < given["macs"] for row in gated)
  path = tmp_path / "faster" / "rate_0.6" / "exported" / "model" / "1"
  served = tf.saved_model.load(str(path)).signatures["serving_bytes"]
  photo = tmp_path / "photos" / "test" / "red" / "0.png"
  answer = served(image_bytes=tf.constant([photo.read_bytes()]))
  np.testing.assert_allclose(answer["probabilities"].numpy().sum(), 1, 1e-5)
