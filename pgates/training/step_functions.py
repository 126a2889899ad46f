"""What `fit` and `evaluate` call for each step, over `tf.distribute`."""

from collections.abc import Callable
import re
from typing import Any

import keras
import tensorflow as tf

# Of an iterator over batches, to logs.
StepFunction = Callable[[Any], dict[str, tf.Tensor]]


def step_function(
    model: keras.Model,
    step: Callable[[Any], dict[str, tf.Tensor]],
    *,
    check: bool,
) -> StepFunction:
  """One function over `Strategy.run`, for one process and for many.

  Keras 3.15's own reduces scalar logs along their first axis, which fails
  with several workers; here the first local replica's logs are returned.

  Args:
    model: a compiled Keras model.
    step: `data -> logs`, run by each replica; logs are scalars by name.
    check: whether `task_loss` and `rate_loss` of the logs must be finite.

  Returns:
    A function of an iterator, as Keras's `make_train_function` returns.

  Raises:
    FloatingPointError: (the returned function) if a checked loss is not
      finite; names it and the step.
  """
  run = _run(model, step, check=check)
  run_from = _run_from(model, run)
  if not model.run_eagerly:
    run = tf.function(run, reduce_retracing=True)
    run_from = tf.function(run_from, reduce_retracing=True)

  def function(iterator):
    graph = (tf.data.Iterator, tf.distribute.DistributedIterator)
    with _FiniteErrors():
      if isinstance(iterator, graph):
        return run_from(iterator)
      return run(next(iterator))

  return function


def _run(model, step, *, check):
  """One step, on the data of all replicas."""
  strategy = model.distribute_strategy

  def one_step(data):
    return step(keras.tree.map_structure(_none_if_optional, data))

  if model.jit_compile and not model.run_eagerly:
    one_step = tf.function(one_step, jit_compile=True, reduce_retracing=True)

  @tf.autograph.experimental.do_not_convert
  def run(data):
    logs = strategy.run(one_step, args=(data,))
    logs = keras.tree.map_structure(
        lambda value: strategy.experimental_local_results(value)[0], logs
    )
    if check:
      _assert_finite(logs, model.optimizer.iterations)
    return logs

  return run


def _run_from(model, run):
  """As many steps as are executed at once, on what an iterator brings."""

  @tf.autograph.experimental.do_not_convert
  def run_from(iterator):
    logs = run(next(iterator))
    if model.steps_per_execution == 1:
      return logs

    def more(step, has_data, logs):
      del logs
      return has_data & (step < model.steps_per_execution)

    def run_next(step, has_data, logs):
      # A `next` that fails within a graph does not stop what reads no data
      # there: the optimizer's count of steps, the gates' noise.
      data = iterator.get_next_as_optional()
      has_data = data.has_value()
      logs = tf.cond(has_data, lambda: run(data.get_value()), lambda: logs)
      return step + 1, has_data, logs

    return tf.while_loop(more, run_next, (1, True, logs))[-1]

  return run_from


def _none_if_optional(value):
  # Keras's data adapters let an `Optional` stand for None.
  return None if isinstance(value, tf.experimental.Optional) else value


_NOT_FINITE = re.compile(r"\[(\w+) is not finite at step\] \[(\d+)\] \[(.*?)\]")


def _assert_finite(logs, step):
  before = []
  for name in ("task_loss", "rate_loss"):
    finite = tf.math.is_finite(logs[name])
    if not tf.executing_eagerly():
      message = [f"{name} is not finite at step", step, logs[name]]
      with tf.control_dependencies(before):
        before = [tf.debugging.Assert(finite, message)]
    elif not finite:
      raise _not_finite(name, int(step), logs[name])


def _not_finite(name, step, value):
  return FloatingPointError(
      f"{name} is {float(value)} at step {step}: training stops. Look at the "
      "learning rate and the data of that step."
  )


class _FiniteErrors:
  """Turns a failed `_assert_finite` of a graph into a FloatingPointError."""

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if not isinstance(error, tf.errors.InvalidArgumentError):
      return
    found = _NOT_FINITE.search(str(error))
    if found:
      name, step, value = found.groups()
      raise _not_finite(name, step, value) from error
