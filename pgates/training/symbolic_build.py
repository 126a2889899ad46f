"""An adapter of Keras: `fit` builds the optimizer, and no more.

Under a `tf.distribute` strategy, `fit`, `evaluate` and their like of Keras 3.15
first build a model on the mean of its first batch over the replicas. That
fails where replicas hold different numbers of examples, and with several
workers. A functional model is built when it is made: all that can be missing
are the variables of the optimizer.

There is no public way around it: a private method is overridden. It can go
when `symbolic_build_test.py` finds that Keras alone trains on a batch
that it cannot split evenly.
"""

import keras


class BuiltModel(keras.Model):
  """A functional model that is not built on data.

  A class between `keras.Model` and ours, as Keras exchanges the bases of its
  functional models and expects `keras.Model` at their root.

  Args:
    *args: of a functional `keras.Model`: inputs and outputs.
    **kwargs: the same.
  """

  def _maybe_symbolic_build(self, iterator=None, data_batch=None):
    del iterator, data_batch
    if self.compiled and not self.optimizer.built:
      with self.distribute_strategy.scope():
        self.optimizer.build(self.trainable_variables)
