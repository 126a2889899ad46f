"""Loss scaling of mixed precision, over replicas."""

import keras
import tensorflow as tf

from pgates.layers import replicas


def equally_finite(
    optimizer: keras.optimizers.Optimizer, gradients: list[tf.Tensor | None]
) -> list[tf.Tensor | None]:
  """Lets all replicas skip the step that one of them must skip.

  Keras scales losses by what each replica finds in its own gradients, before
  they are summed, and of several replicas asks the first alone.
  """
  scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
  if not scales or replicas.num_replicas() == 1:
    return gradients
  finite = tf.cast(optimizer.check_finite(gradients), tf.float32)
  finite = replicas.sum_over_replicas(finite)
  is_lost = finite < tf.cast(replicas.num_replicas(), tf.float32)
  nan = tf.where(is_lost, tf.constant(float("nan")), 0.0)
  first = next(i for i, g in enumerate(gradients) if g is not None)
  poisoned = tf.convert_to_tensor(gradients[first])
  poisoned += tf.cast(nan, poisoned.dtype)
  return [*gradients[:first], poisoned, *gradients[first + 1 :]]
