"""The functions that a SavedModel serves, all around one frozen core."""

from collections.abc import Callable
import os

import numpy as np
import tensorflow as tf

from export.transforms import constant_weights
from export.transforms import folding
import image_data
import pgates
from pgates.layers import gate_rules

INVALID_CLASS = -1


def make_core(
    model: pgates.GatedModel,
    strategy: str | pgates.Strategy,
    *,
    execution: str,
    average_pool: bool = True,
) -> Callable[..., dict[str, tf.Tensor]]:
  """Freezes a network and its rule into a function.

  Args:
    model: a `pgates.GatedModel`.
    strategy: a strategy that needs no data; `threshold` for one that each
      example brings.
    execution: `masked`, `routed` or `conditional`.
    average_pool: as in `constant_weights.freeze`; not for TF-Lite, which may
      run it in 8 bits.

  Returns:
    A function of float32 [batch, height, width, channels] and, for
    `threshold`, float32 [batch]: to the outputs of `model`.
  """
  folded = folding.fold_batch_norms(model)
  if strategy != "threshold":
    decided = pgates.with_strategy(folded, strategy, execution=execution)
    core = constant_weights.freeze(decided, average_pool=average_pool)
    return lambda images, threshold=None: core(images, training=False)
  decided = pgates.with_threshold_input(folded, execution=execution)
  core = constant_weights.freeze(decided, average_pool=average_pool)
  return lambda images, threshold: core(
      {"images": images, "threshold": threshold}, training=False
  )


class Server(tf.Module):
  """What a SavedModel holds.

  Args:
    model: a `pgates.GatedModel`; with fixed gating, the pruned one.
    strategy: that decides for each input.
    labels: path of a file of class names, one a line.
    gates: path of a JSON file on the gates.
    preparation: of encoded images, as in evaluation; None to resize them as
      they are.
    execution: of the gates; `masked` computes every branch.
  """

  def __init__(
      self,
      model: pgates.GatedModel,
      strategy: str | pgates.Strategy,
      *,
      labels: str | os.PathLike,
      gates: str | os.PathLike,
      preparation: image_data.EvaluationPreparation | None = None,
      execution: str = "routed",
  ):
    super().__init__()
    self.labels = tf.saved_model.Asset(str(labels))
    self.gates = tf.saved_model.Asset(str(gates))
    self._macs = model.macs
    self._image_shape = tuple(model.inputs[0].shape[1:])
    self._preparation = preparation or image_data.EvaluationPreparation(
        self._image_shape
    )
    strategy = pgates.parse_strategy(strategy)
    self._threshold = strategy.threshold
    rule = strategy if self._threshold is None else "threshold"
    core = make_core(model, rule, execution=execution)
    # Traced once; each signature calls the same functions, and so the file
    # holds the weights once.
    self._core = self._traced(core)
    self._shared = self._traced(self._serve)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """`(height, width, channels)` of the images."""
    return self._image_shape

  @property
  def takes_threshold(self) -> bool:
    """Whether requests may choose the threshold of the gates."""
    return self._threshold is not None

  def signatures(self) -> dict[str, Callable]:
    """Concrete functions by the name they are served under."""
    encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
    signatures = {
        "serving_default": _concrete(
            self._serve_images, images=self._image_spec(tf.float32)
        ),
        "serving_uint8": _concrete(
            self._serve_images, images=self._image_spec(tf.uint8)
        ),
        "serving_bytes": _concrete(self._serve_bytes, image_bytes=encoded),
    }
    if self.takes_threshold:
      signatures["serving_threshold"] = self._traced(self._serve_thresholds)
    return signatures

  def _image_spec(self, dtype):
    return tf.TensorSpec([None, *self._image_shape], dtype, name="images")

  def _traced(self, function):
    """A concrete function of images and thresholds."""
    return _concrete(
        function,
        images=self._image_spec(tf.float32),
        threshold=tf.TensorSpec([None], tf.float32, name="threshold"),
    )

  def _serve_images(self, images):
    default = self._threshold
    if default is None:  # No gate reads it.
      default = gate_rules.MAP_THRESHOLD
    thresholds = tf.fill(tf.shape(images)[:1], np.float32(default))
    return self._shared(tf.cast(images, tf.float32), thresholds)

  def _serve_thresholds(self, images, threshold):
    threshold = tf.ensure_shape(threshold, [None], name="shape_of_threshold")
    as_many = tf.debugging.assert_equal(
        tf.shape(threshold),
        tf.shape(images)[:1],
        message="`threshold` must hold one number for each of `images`.",
    )
    # Before others fail on the same, in words of their own.
    with tf.control_dependencies([as_many]):
      threshold = tf.identity(threshold)
    return self._shared(images, threshold)

  def _serve(self, images, threshold):
    # A server checks no shapes, and a convolution of another rank ends its
    # process. The error gives the name.
    images = tf.ensure_shape(
        images, [None, *self._image_shape], name="shape_of_images"
    )
    size = tf.shape(images)[0]
    # Convolutions fail on an empty batch.
    some = tf.cond(
        size > 0,
        lambda: (images, threshold),
        lambda: (tf.zeros([1, *self._image_shape]), tf.zeros([1])),
    )
    outputs = self._core(*some)
    return self._answer(*some, outputs, size)

  def _answer(self, images, threshold, outputs, size):
    """Answers for the valid examples, -1 and NaN for the others."""
    finite = tf.reduce_all(tf.math.is_finite(images), axis=[1, 2, 3])
    # False for NaN, too.
    valid = finite & (threshold >= 0) & (threshold <= 1)
    probabilities = tf.nn.softmax(outputs["logits"])
    classes = tf.argmax(outputs["logits"], axis=-1)
    answer = {
        "probabilities": tf.where(valid[:, None], probabilities, float("nan")),
        "classes": tf.where(valid, classes, INVALID_CLASS),
        "gates": outputs["gates"],
        "executed_macs": self._macs.executed(outputs["gates"]),
    }
    return {
        name: tf.identity(value[:size], name=name)
        for name, value in answer.items()
    }

  def _serve_bytes(self, image_bytes):
    image_bytes = tf.ensure_shape(
        image_bytes, [None], name="shape_of_image_bytes"
    )
    spec = tf.TensorSpec(self._image_shape, tf.float32)
    images = tf.map_fn(
        self._preparation.or_nan, image_bytes, fn_output_signature=spec
    )
    return self._serve_images(images)


def _concrete(function, **specs):
  traced = tf.function(function, autograph=False)
  return traced.get_concrete_function(**specs)
