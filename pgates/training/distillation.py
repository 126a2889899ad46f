"""Distillation: a trained network's logits beside the labels.

With T the temperature, t and s the logits of teacher and student, an example's
loss becomes

    (1 - weight) loss(labels, s) + weight T^2 KL(softmax(t / T), softmax(s / T))

of which the second part's gradient by s is T (softmax(s / T) - softmax(t / T)):
as large as that of a cross-entropy, whatever the temperature.

References:
  Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network",
  arXiv 1503.02531, section 2.
"""

from collections.abc import Collection

import keras
import tensorflow as tf

from pgates.layers import replicas
from pgates.training import task_losses

WEIGHT, TEMPERATURE = 0.9, 4.0


class Distillation:
  """A teacher, for `GatedModel.compile(distillation=)`.

  Only training steps ask it; what is evaluated is the loss of the labels. A
  file of the model does not hold it: one that is loaded trains on without,
  until it is compiled with a teacher again.

  Args:
    teacher: a trained `keras.Model` of the same inputs. It returns logits of
      the same shape, or a dictionary with `"logits"`, as a `GatedModel` does.
      It is not trained, and its batch norms are those of inference.
    weight: of the teacher's part, in [0, 1]; the labels' is 1 less it.
    temperature: that both networks' logits are divided by; positive.

  Raises:
    ValueError: if an argument is out of its range.
  """

  def __init__(
      self,
      teacher: keras.Model,
      *,
      weight: float = WEIGHT,
      temperature: float = TEMPERATURE,
  ):
    if not 0 <= weight <= 1:
      raise ValueError(f"`weight` must lie in [0, 1]. Received: {weight}")
    if not 0 < temperature < float("inf"):
      raise ValueError(
          f"`temperature` must be a positive number. Received: {temperature}"
      )
    self.teacher = teacher
    self.weight = weight
    self.temperature = temperature

  def check(
      self, model: keras.Model, losses: Collection[str] = ("logits",)
  ) -> None:
    """Raises a ValueError unless the teacher fits a student.

    Args:
      model: the student, whose output `"logits"` is taught.
      losses: names of its outputs that have a loss.
    """
    if "logits" not in losses:
      raise ValueError(
          "Distillation is of the output 'logits', which has no loss here. "
          f"Received losses of: {sorted(losses)}"
      )
    theirs = [tuple(tensor.shape) for tensor in self.teacher.inputs]
    ours = [tuple(tensor.shape) for tensor in model.inputs]
    if theirs != ours:
      raise ValueError(
          "A teacher must take what its student takes. Received: a teacher of "
          f"inputs {theirs}, a student of {ours}"
      )
    theirs = tuple(_logits(self.teacher.compute_output_spec(model.input)).shape)
    ours = tuple(model.output["logits"].shape)
    if theirs != ours:
      raise ValueError(
          "A teacher's logits must have the shape of its student's. Received: "
          f"{theirs}, and {ours}"
      )

  def teach(self, images: tf.Tensor, place: replicas.BatchPlace) -> tf.Tensor:
    """The teacher's logits of a batch, [batch, ..., classes].

    Args:
      images: this replica's part of the batch.
      place: of it in the global batch.
    """
    logits = replicas.call_on_some(
        lambda padded: _logits(self.teacher(padded, training=False)),
        images,
        place.local_size,
    )
    return tf.stop_gradient(logits)

  def mix(
      self,
      loss: keras.losses.Loss,
      share: tf.Tensor,
      taught: tf.Tensor,
      logits: tf.Tensor,
      weights: tf.Tensor | None = None,
  ) -> tf.Tensor:
    """This replica's share of the loss of labels and teacher.

    Args:
      loss: of the labels; the teacher's part is reduced alike.
      share: this replica's share of it.
      taught: [batch, ..., classes], from `teach`.
      logits: [batch, ..., classes] of the student.
      weights: sample weights as of `task_losses.share`, or None.

    Returns:
      A scalar.
    """
    imitation = _Imitation(self.temperature, reduction=loss.reduction)
    theirs = task_losses.share(imitation, taught, logits, weights)
    return (1 - self.weight) * share + self.weight * tf.cast(
        theirs, share.dtype
    )


class _Imitation(keras.losses.Loss):
  """T^2 times the divergence of softened predictions; `labels` are logits."""

  def __init__(self, temperature, **kwargs):
    super().__init__(**kwargs)
    self._temperature = temperature

  def call(self, y_true, y_pred):
    theirs = tf.nn.log_softmax(y_true / self._temperature)
    ours = tf.nn.log_softmax(y_pred / self._temperature)
    divergence = tf.reduce_sum(tf.exp(theirs) * (theirs - ours), axis=-1)
    return self._temperature**2 * divergence


def _logits(output):
  return output["logits"] if isinstance(output, dict) else output
