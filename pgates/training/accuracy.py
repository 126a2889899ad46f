"""Accuracy: what it means under a loss, as Keras's `"accuracy"` chooses it."""

import keras
import tensorflow as tf

from pgates.training import task_losses

_losses = keras.losses
_BINARY = (
    _losses.BinaryCrossentropy,
    _losses.BinaryFocalCrossentropy,
    _losses.Hinge,
    _losses.SquaredHinge,
)
_NO_CLASSES = (
    _losses.CTC,
    _losses.Circle,
    _losses.CosineSimilarity,
    _losses.Dice,
    _losses.Huber,
    _losses.LogCosh,
    _losses.MeanAbsoluteError,
    _losses.MeanAbsolutePercentageError,
    _losses.MeanSquaredError,
    _losses.MeanSquaredLogarithmicError,
    _losses.Poisson,
    _losses.Tversky,
)


def kind_of(
    loss: keras.losses.Loss | None, output: tf.Tensor | keras.KerasTensor
) -> str | None:
  """What accuracy counts under a loss.

  Args:
    loss: a `keras.losses.Loss`; None for an output without one.
    output: the tensor [batch, ..., classes] of logits that it is of.

  Returns:
    `"binary"`: whether each logit is on the side of its label; `"classes"`:
    whether the largest is that of the class; None: the loss is none of
    classes. Under a loss of one's own, `"classes"` where there are several
    logits, else None.
  """
  if loss is None or isinstance(loss, _NO_CLASSES):
    return None
  if isinstance(loss, _BINARY):
    return "binary"
  return "classes" if output.shape[-1] != 1 else None


def hits(labels: tf.Tensor, logits: tf.Tensor, *, kind: str) -> tf.Tensor:
  """Which predictions are right.

  Args:
    labels: classes [batch, ...] or [batch, ..., 1], or in the shape of the
      logits: one-hot, or for `"binary"` 1 for yes, 0 or -1 for no.
    logits: [batch, ..., classes].
    kind: as of `kind_of`, not None.

  Returns:
    floats of 0 and 1: [batch, ...], one for each class index, or `"binary"`
    [batch, ..., classes].
  """
  logits = tf.cast(logits, keras.backend.result_type(logits.dtype, "float32"))
  if kind == "binary":
    labels = tf.cast(tf.cast(labels, logits.dtype) > 0.5, logits.dtype)
    # A logit of 0 is a probability of 0.5.
    return keras.metrics.binary_accuracy(labels, logits, threshold=0.0)
  if labels.shape.rank < logits.shape.rank or labels.shape[-1] == 1:
    return keras.metrics.sparse_categorical_accuracy(labels, logits)
  return keras.metrics.categorical_accuracy(labels, logits)


class Accuracy(keras.metrics.Mean):
  """The accuracy of an output under its loss.

  Labels of a loss's `ignore_class` do not count.

  Args:
    loss: of the output, a `keras.losses.Loss`; None for no loss.
    output: the tensor [batch, ..., classes] of the model.
    name: of the metric.

  Call arguments:
    labels: of the output.
    logits: [batch, ..., classes].
    sample_weight: [batch], or None.
  """

  def __init__(
      self,
      loss: keras.losses.Loss | None,
      output: tf.Tensor | keras.KerasTensor,
      *,
      name: str = "accuracy",
  ):
    super().__init__(name=name)
    self.kind = kind_of(loss, output)
    self._ignored = getattr(loss, "ignore_class", None)

  def update_state(
      self,
      labels: tf.Tensor,
      logits: tf.Tensor,
      sample_weight: tf.Tensor | None = None,
  ) -> None:
    values = hits(labels, logits, kind=self.kind)
    if self._ignored is not None:
      counts = tf.not_equal(labels, tf.cast(self._ignored, labels.dtype))
      counts = tf.reshape(tf.cast(counts, values.dtype), tf.shape(values))
      if sample_weight is not None:
        weights = tf.cast(sample_weight, values.dtype)
        counts *= task_losses.aligned(weights, values.shape.rank)
      sample_weight = counts
    return super().update_state(values, sample_weight=sample_weight)
