"""Tests of `export.saved_model.serving`."""

import numpy as np
import pytest
import tensorflow as tf

from export.saved_model import serving
import image_data
import pgates
from tests.helpers import gated_networks


@pytest.fixture(scope="module")
def model():
  return gated_networks.resnet()


@pytest.fixture(scope="module")
def signatures(model, tmp_path_factory):
  folder = tmp_path_factory.mktemp("assets")
  for name in ("labels.txt", "gates.json"):
    (folder / name).write_text("{}")
  server = serving.Server(
      model, "map", labels=folder / "labels.txt", gates=folder / "gates.json"
  )
  served = server.signatures()
  yield served
  del server


def test_default_signature_answers_as_keras(model, signatures):
  images = gated_networks.images()
  expected = model.predict(images, verbose=0)
  answer = signatures["serving_default"](images=tf.constant(images))
  np.testing.assert_allclose(
      answer["probabilities"],
      tf.nn.softmax(expected["logits"]),
      rtol=1e-4,
      atol=1e-6,
  )
  np.testing.assert_array_equal(answer["gates"], expected["gates"])
  np.testing.assert_array_equal(
      answer["classes"], expected["logits"].argmax(axis=-1)
  )
  np.testing.assert_array_equal(
      answer["executed_macs"], model.macs.executed(expected["gates"])
  )
  assert answer["executed_macs"].dtype == answer["classes"].dtype == tf.int64


def test_answers_do_not_depend_on_neighbours(signatures):
  images = gated_networks.images()
  whole = signatures["serving_default"](images=tf.constant(images))
  for i in range(len(images)):
    alone = signatures["serving_default"](images=tf.constant(images[i : i + 1]))
    np.testing.assert_array_equal(alone["gates"][0], whole["gates"][i])
    np.testing.assert_allclose(
        alone["probabilities"][0], whole["probabilities"][i], rtol=1e-4
    )


def test_bytes_and_integers_answer_as_floats(signatures):
  images = np.round(gated_networks.images(3)).astype(np.uint8)
  encoded = [tf.io.encode_png(image) for image in images]
  floats = signatures["serving_default"](images=tf.constant(images, tf.float32))
  for answer in (
      signatures["serving_uint8"](images=tf.constant(images)),
      signatures["serving_bytes"](image_bytes=tf.stack(encoded)),
  ):
    np.testing.assert_allclose(
        answer["probabilities"], floats["probabilities"], rtol=1e-5
    )


def test_each_example_may_bring_its_threshold(model, signatures):
  images = gated_networks.images()
  thresholds = np.linspace(0, 1, len(images)).astype(np.float32)
  answer = signatures["serving_threshold"](
      images=tf.constant(images), threshold=tf.constant(thresholds)
  )
  for i, threshold in enumerate(thresholds):
    alone = pgates.with_strategy(model, f"threshold:{threshold}")
    expected = alone(images[i : i + 1], training=False)
    np.testing.assert_array_equal(answer["gates"][i], expected["gates"][0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_pixels_spoil_their_own_example_only(signatures, bad):
  images = gated_networks.images()
  good = signatures["serving_default"](images=tf.constant(images))
  images[2, 0, 0, 0] = bad
  answer = signatures["serving_default"](images=tf.constant(images))
  others = np.arange(len(images)) != 2
  assert answer["classes"][2] == serving.INVALID_CLASS
  assert np.all(np.isnan(answer["probabilities"][2]))
  np.testing.assert_allclose(
      answer["probabilities"].numpy()[others],
      good["probabilities"].numpy()[others],
      rtol=1e-4,
  )


def test_thresholds_that_are_no_probability_spoil_their_own_example(signatures):
  images = gated_networks.images(4)
  answer = signatures["serving_threshold"](
      images=tf.constant(images),
      threshold=tf.constant([0.5, -0.1, 1.1, np.nan]),
  )
  assert answer["classes"].numpy().tolist()[1:] == [-1, -1, -1]
  assert answer["classes"][0] >= 0


@pytest.mark.slow
def test_middle_of_encoded_images_is_served_as_evaluated(tmp_path):
  (tmp_path / "asset").write_text("{}")
  model = gated_networks.resnet()
  server = serving.Server(
      *(model, "map"),
      labels=tmp_path / "asset",
      gates=tmp_path / "asset",
      preparation=image_data.EvaluationPreparation((8, 8, 3), True),
  )
  signatures = server.signatures()
  (image,) = gated_networks.images(1, (20, 31, 3)).astype(np.uint8)
  encoded = tf.io.encode_png(image)
  answer = signatures["serving_bytes"](image_bytes=encoded[None])
  middle = image_data.center_crop(tf.constant(image), 8)
  expected = signatures["serving_default"](images=middle[None])
  np.testing.assert_allclose(
      answer["probabilities"], expected["probabilities"], atol=1e-6
  )
  resized = tf.image.resize(image, [8, 8], antialias=True)
  other = signatures["serving_default"](images=resized[None])["probabilities"]
  assert np.abs(answer["probabilities"] - other).max() > 1e-4


def test_what_is_no_image_spoils_its_own_example(signatures):
  images = gated_networks.images(2).astype(np.uint8)
  first, second = (tf.io.encode_png(image).numpy() for image in images)
  bomb = bytearray(first)
  bomb[16:24] = (20_000).to_bytes(4, "big") * 2
  wrong = [b"", b"\0\0\0\x18ftypheic", b"%PDF-1.7", b"text", bytes(bomb)]
  answer = signatures["serving_bytes"](
      image_bytes=tf.constant([first, *wrong, second])
  )
  alone = signatures["serving_bytes"](image_bytes=tf.constant([first, second]))
  assert answer["classes"].numpy().tolist()[1:-1] == [-1] * 5
  assert np.all(np.isnan(answer["probabilities"][1:-1]))
  for name in ("classes", "probabilities"):
    np.testing.assert_allclose(
        tf.gather(answer[name], [0, 6]), alone[name], atol=1e-6
    )


@pytest.mark.parametrize("name", ["serving_default", "serving_bytes"])
def test_an_empty_batch_gets_an_empty_answer(signatures, name):
  inputs = {"images": tf.zeros([0, 8, 8, 3])}
  if name == "serving_bytes":
    inputs = {"image_bytes": tf.constant([], tf.string)}
  shapes = {k: tuple(v.shape) for k, v in signatures[name](**inputs).items()}
  assert shapes == {
      "probabilities": (0, 10),
      "classes": (0,),
      "gates": (0, 3),
      "executed_macs": (0,),
  }
