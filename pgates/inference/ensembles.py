"""Several sampled passes in one model."""

import dataclasses
from typing import Self

import keras
import numpy as np
import tensorflow as tf

from pgates import graphs
from pgates.costs.layer_costs import layer_macs
from pgates.inference import strategy


@dataclasses.dataclass(frozen=True)
class Ensemble(strategy.Strategy):
  """`ensemble:N`: N sampled passes, joined."""

  @classmethod
  def parse(cls, name: str, argument: str) -> Self:
    return cls(name, strategy.whole_number(name, argument, lowest=1))

  @property
  def is_random(self) -> bool:
    return True

  @property
  def num_passes(self) -> int:
    return self.argument

  @property
  def statistics_rule(self) -> str:
    return "sampled"

  def apply(self, model: keras.Model, execution: str) -> keras.Model:
    return ensemble(model, self.argument, execution=execution)


def ensemble(
    model: keras.Model, num_passes: int, *, execution: str = "masked"
) -> keras.Model:
  """A model that joins sampled passes and shares all weights.

  Args:
    model: a functional Keras model with the outputs of `gated_outputs`.
    num_passes: positive integer.
    execution: of `executions.EXECUTIONS`.

  Returns:
    A model like `model`, not compiled. Its `logits`, if it has such an output,
    are the logarithms of the mean probabilities, `votes` [batch, classes] is
    the share of passes whose first choice a class was, and `gates` and
    `gate_logits` [batch, num_passes * blocks] hold the passes one behind the
    other; further outputs are means over the passes.
  """
  call = graphs.call_with(rule="sampled", execution=execution)
  sampled = graphs.rebuild(model, call=call)
  with model.distribute_strategy.scope():
    inputs = graphs.fresh_inputs(model)
    passes = [sampled(inputs) for _ in range(num_passes)]
    by_name = {name: [each[name] for each in passes] for name in model.output}
    outputs = {}
    if "logits" in by_name:
      logits, votes = EnsembleVote(name="ensemble")(by_name.pop("logits"))
      outputs = {"logits": logits, "votes": votes}
    for name, tensors in by_name.items():
      # Names of layers: those of loose operations clash with the model's.
      join = keras.layers.Average(name=f"ensemble_{name}")
      if name in ("gates", "gate_logits"):
        join = keras.layers.Concatenate(axis=1, name=f"ensemble_{name}")
      outputs[name] = join(tensors) if num_passes > 1 else tensors[0]
  return graphs.same_class(model, inputs, outputs)


@keras.saving.register_keras_serializable(package="pgates")
class EnsembleVote(keras.layers.Layer):
  """Joins the logits of several passes.

  Call arguments:
    inputs: list of float32 [batch, classes], one from each pass.

  Returns:
    `(logits, votes)`, [batch, classes] each: the logarithm of the mean
    probability, and the share of passes whose first choice the class was.
  """

  def call(self, inputs: list[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    logits = keras.ops.stack(inputs, axis=1)
    log_probabilities = keras.ops.log_softmax(logits, axis=-1)
    total = keras.ops.logsumexp(log_probabilities, axis=1)
    first = keras.ops.argmax(logits, axis=-1)
    votes = keras.ops.one_hot(first, logits.shape[-1])
    mean = total - float(np.log(len(inputs)))
    return mean, keras.ops.mean(votes, axis=1)

  def compute_output_shape(
      self, input_shape: list[tuple[int | None, ...]]
  ) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
    return input_shape[0], input_shape[0]


@layer_macs.register(EnsembleVote)
def _no_macs(layer, input_shape):
  del layer, input_shape
  return 0
