"""The requests that an exported model is checked with, and Keras's answers."""

from collections.abc import Callable
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from export import variants
from export.decisions import dropped_blocks
import image_data
import pgates

_CHUNK = 33  # Odd, as no server's batch size is.
_NUM_THRESHOLDED = 9
_NUM_ENCODED = 3
_OTHER_SIZE = (37, 53)  # Neither of it is a network's.
_JPEG_CHANNELS = (1, 3)
_SEED = 0
# Of a grey level. It changes what networks of 50 to 240 layers answer by three
# to thirty times as much as exports were found to differ from Keras.
_ROUNDING = 1e-3

# Input name -> array, or output name -> array.
Arrays = dict[str, np.ndarray]


class Request(NamedTuple):
  """A request, and what the answer must be.

  Attributes:
    signature: name of the signature.
    inputs: arrays by input.
    expected: Keras's outputs as arrays.
    nearby: Keras's outputs to images that are the same but for rounding.
  """

  signature: str
  inputs: Arrays
  expected: Arrays
  nearby: Arrays


class _Question(NamedTuple):
  """A request, and the images, float32, that the network gets by it."""

  signature: str
  inputs: Arrays
  images: np.ndarray


def make(
    variant: variants.Variant,
    decided: dropped_blocks.Decided,
    images: np.ndarray,
    *,
    preparation: image_data.EvaluationPreparation,
) -> dict[str, Request]:
  """Makes requests and the answers that Keras gives.

  Args:
    variant: what was exported.
    decided: the network, with its gates decided.
    images: float32 [n, height, width, channels], of the evaluation split.
    preparation: of encoded images.

  Returns:
    name -> request. The images of the split are asked in those whose names
    begin with "test".
  """
  synthetic = _synthetic(images.shape[1:])
  batches = {
      f"test{i}": images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)
  }
  batches |= {"one": images[:1], "synthetic": synthetic}
  thresholded = np.concatenate([images[:_NUM_THRESHOLDED], synthetic])
  if variant.format == "tflite":
    asked = _tflite(batches, thresholded, decided.threshold)
  else:
    asked = {
        **_of_floats(batches),
        **_of_bytes(images, preparation),
        **_of_thresholds(thresholded, decided.threshold),
    }
  answer = _answers_of_keras(decided)
  return {
      name: Request(
          question.signature,
          question.inputs,
          *(
              answer(asked_of, question.inputs.get("threshold"))
              for asked_of in (question.images, _nearby(question.images))
          ),
      )
      for name, question in asked.items()
  }


def _synthetic(shape):
  """Noise, black and white."""
  noise = np.random.default_rng(_SEED).uniform(0, 255, (3, *shape))
  flat = [np.zeros((1, *shape)), np.full((1, *shape), 255)]
  return np.concatenate([noise, *flat]).astype(np.float32)


def _nearby(images):
  """Images that are the same but for rounding."""
  signs = np.random.default_rng(_SEED).choice([-1, 1], images.shape)
  return np.float32(images + _ROUNDING * signs)


def _of_floats(batches):
  return {
      name: _Question("serving_default", {"images": batch}, batch)
      for name, batch in batches.items()
  }


def _of_bytes(images, preparation):
  """Whole numbers, files of the right size, and files of another size."""
  # Resized images have fractions, which bytes cannot hold.
  few = images[:_NUM_ENCODED].astype(np.uint8)
  files = {
      "bytes": [tf.io.encode_png(image) for image in few],
      "other_sizes": _of_another_size(images.shape[-1]),
  }
  return {
      "uint8": _Question("serving_uint8", {"images": few}, np.float32(few)),
      **{
          name: _Question(
              "serving_bytes",
              {"image_bytes": _byte_strings(encoded)},
              np.stack([preparation(content) for content in encoded]),
          )
          for name, encoded in files.items()
      },
  }


def _of_another_size(channels):
  """A smooth image that is not square, as a PNG file and as a JPEG file."""
  waves = np.random.default_rng(_SEED).uniform(2, 6, (2, channels))
  places = np.moveaxis(np.indices(_OTHER_SIZE), 0, -1) / _OTHER_SIZE
  image = np.rint(127.5 * (1 + np.sin(places @ waves))).astype(np.uint8)
  encoded = [tf.io.encode_png(image)]
  if channels in _JPEG_CHANNELS:
    encoded.append(tf.io.encode_jpeg(image))
  return encoded


def _byte_strings(encoded: Iterable[tf.Tensor]) -> np.ndarray:
  # As strings of fixed length, which NumPy's files can hold; neither PNG nor
  # JPEG files have zeros at their end to lose.
  return np.array([content.numpy() for content in encoded])


def _of_thresholds(batch, threshold):
  if threshold is None:
    return {}
  return {
      name: _Question(
          "serving_threshold", {"images": batch, "threshold": values}, batch
      )
      for name, values in _thresholds(len(batch)).items()
  }


def _thresholds(size):
  """Thresholds that open all gates, none, and a mixture."""
  mixed = np.random.default_rng(_SEED).uniform(0.2, 0.8, size)
  mixed[::4], mixed[1::4] = 0, 1
  return {
      "open": np.zeros(size, np.float32),
      "closed": np.ones(size, np.float32),
      "mixed": mixed.astype(np.float32),
  }


def _tflite(batches, thresholded, threshold):
  """The only signature of a file takes the threshold where there is one."""
  asked = _of_floats(batches)
  if threshold is None:
    return asked
  for _, inputs, batch in asked.values():
    inputs["threshold"] = np.full(len(batch), threshold, np.float32)
  return asked | {
      name: question._replace(signature="serving_default")
      for name, question in _of_thresholds(thresholded, threshold).items()
  }


def _answers_of_keras(
    decided: dropped_blocks.Decided,
) -> Callable[[np.ndarray, np.ndarray | None], Arrays]:
  """A function, (images, thresholds or None) -> outputs as arrays."""
  by_threshold = None
  if decided.threshold is not None:
    # Once for all requests: to build and trace it takes long.
    by_threshold = pgates.with_threshold_input(decided.model)

  def answer(images, thresholds):
    if thresholds is None:
      outputs = decided.reference.predict_on_batch(images)
    else:
      batch = {"images": images, "threshold": thresholds}
      outputs = by_threshold.predict_on_batch(batch)
    return {name: np.asarray(value) for name, value in outputs.items()}

  return answer
