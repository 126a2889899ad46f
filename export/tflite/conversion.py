"""TF-Lite files of a network, with fixed or dynamic gating."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export.saved_model import serving
from export.tflite import tflite_int8
from file_io import library_messages
import pgates


def convert(
    model: pgates.GatedModel,
    *,
    dynamic: bool,
    quantization: str = "none",
    images: np.ndarray | None = None,
    execution: str = "conditional",
) -> bytes:
  """Converts a network to a TF-Lite file for batches of one.

  With dynamic gating the file skips the blocks whose gate is closed, by `If`
  operations, and takes the threshold as a scalar beside the image. Only
  TF-Lite's built-in operations are used.

  Args:
    model: a `pgates.GatedModel`; with fixed gating, the pruned one.
    dynamic: whether the gates decide for each input.
    quantization: one of `variants.QUANTIZATIONS`.
    images: float32 [n, height, width, channels], to calibrate int8 on.
    execution: of the gates; `masked` computes every branch.

  Returns:
    The bytes of the file.

  Raises:
    ValueError: if int8 has no images.
  """
  server = _Module(model, dynamic=dynamic, execution=execution)
  converter = tf.lite.TFLiteConverter.from_concrete_functions(
      [server.serve.get_concrete_function()], server
  )
  converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
  if quantization != "none":
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
  if quantization == "float16":
    converter.target_spec.supported_types = [tf.float16]
  if quantization == "int8":
    if images is None or not len(images):
      raise ValueError("int8 needs images to calibrate on. Received none.")
    with library_messages.filtered():
      return tflite_int8.convert(converter, lambda: server.calibration(images))
  return converter.convert()


class _Module(tf.Module):
  """The one function of a file."""

  def __init__(self, model, *, dynamic, execution):
    super().__init__()
    rule = "threshold" if dynamic else "always_open"
    core = serving.make_core(
        model, rule, execution=execution, average_pool=False
    )
    self._dynamic = dynamic
    image = tf.TensorSpec([1, *model.inputs[0].shape[1:]], tf.float32, "images")
    threshold = tf.TensorSpec([], tf.float32, "threshold")
    specs = [image, threshold] if dynamic else [image]

    def serve(images, threshold=None):
      if threshold is not None:
        threshold = tf.reshape(threshold, [1])
      outputs = core(images, threshold)
      return {
          "probabilities": tf.nn.softmax(outputs["logits"]),
          "gates": outputs["gates"],
      }

    self.serve = tf.function(serve, input_signature=specs, autograph=False)

  def calibration(self, images: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    """Inputs that open every gate, the usual ones, and none."""
    for image in images:
      inputs = {"images": image[None]}
      if not self._dynamic:
        yield inputs
        continue
      for threshold in (0.0, 0.5, 1.0):
        yield {**inputs, "threshold": np.float32(threshold)}
