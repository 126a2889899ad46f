"""The requests that an exported model is checked with, and Keras's answers."""

import numpy as np
import tensorflow as tf

import image_data
import pgates

_CHUNK = 33  # Odd, as no server's batch size is.
_SEED = 0


def make(variant, decided, images, *, center_crop=False):
  """Makes requests and the answers that Keras gives.

  Args:
    variant: a `variants.Variant`.
    decided: the `variants.Decided` that was exported.
    images: float32 [n, height, width, channels], of the evaluation split.
    center_crop: whether the middle is cut out of encoded images.

  Returns:
    name -> (signature, arrays by input, Keras's outputs as arrays).
  """
  made = _made(images.shape[1:])
  # Resized images have fractions, which bytes cannot hold.
  few = images[:3].astype(np.uint8)
  batches = {
      f"test{i}": images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)
  }
  batches |= {"one": images[:1], "made": made}
  if variant.format == "tflite":
    requests = _tflite(decided, batches)
  else:
    requests = {
        name: ("serving_default", {"images": batch})
        for name, batch in batches.items()
    }
    requests["uint8"] = ("serving_uint8", {"images": few})
    requests["bytes"] = ("serving_bytes", {"image_bytes": _encoded(few)})
    batches["uint8"] = batches["bytes"] = few.astype(np.float32)
    if center_crop:
      cropped = [image_data.center_crop(i, images.shape[1]) for i in few]
      batches["bytes"] = np.stack(cropped)
  if decided.threshold is not None:
    signature = "serving_threshold"
    if variant.format == "tflite":
      signature = "serving_default"
    batch = np.concatenate([images[:9], made])
    for name, thresholds in _thresholds(len(batch)).items():
      inputs = {"images": batch, "threshold": thresholds}
      requests[name] = (signature, inputs)
      batches[name] = batch
  answer = _answers_of_keras(decided)
  return {
      name: (signature, inputs, answer(batches[name], inputs.get("threshold")))
      for name, (signature, inputs) in requests.items()
  }


def _made(shape):
  noise = np.random.default_rng(_SEED).uniform(0, 255, (3, *shape))
  flat = [np.zeros((1, *shape)), np.full((1, *shape), 255)]
  return np.concatenate([noise, *flat]).astype(np.float32)


def _thresholds(size):
  """Thresholds that open all gates, none, and a mixture."""
  mixed = np.random.default_rng(_SEED).uniform(0.2, 0.8, size)
  mixed[::4], mixed[1::4] = 0, 1
  return {
      "open": np.zeros(size, np.float32),
      "closed": np.ones(size, np.float32),
      "mixed": mixed.astype(np.float32),
  }


def _tflite(decided, batches):
  requests = {}
  for name, batch in batches.items():
    inputs = {"images": batch}
    if decided.threshold is not None:
      inputs["threshold"] = np.full(len(batch), decided.threshold, np.float32)
    requests[name] = ("serving_default", inputs)
  return requests


def _encoded(images):
  encoded = [tf.io.encode_png(image).numpy() for image in images]
  # As fixed-length strings, which NumPy's files can hold; PNG has no zeros at
  # its end to lose.
  return np.array(encoded)


def _answers_of_keras(decided):
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
