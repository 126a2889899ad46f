"""Measured times of branches: what a block costs on the machine at hand.

Multiply-adds are not time: a block of many small layers takes longer than its
share of them. A penalty on the share of time (`TargetRateLoss(share=...)`)
counts a block by what closing its gate gives back.
"""

from collections.abc import Callable
import time

import keras
import numpy as np
import tensorflow as tf

from pgates import graphs

_WARMUP = 3  # Rounds that do not count.


def branch_times(
    model: keras.Model,
    *,
    batch_size: int = 1,
    repeats: int = 30,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
  """Seconds that the branch of each gated block takes.

  The branches of all blocks take turns, so that noise falls on all alike;
  each runs as a compiled graph, in inference mode, on random numbers.

  Args:
    model: a functional Keras model of `GatedResidual` blocks, built with fixed
      sizes.
    batch_size: examples at a time.
    repeats: rounds that count.
    clock: returns seconds.

  Returns:
    A list of medians, in the order of the model's `gates` columns; 0 for a
    block without a branch.

  Raises:
    ValueError: if a size is not fixed.
  """
  calls = graphs.gated_calls_with_shapes(model)
  open_sizes = [block.name for block, shape in calls if None in shape]
  if open_sizes:
    raise ValueError(
        "Times need fixed sizes: build the network with a full input shape. "
        f"Received open ones at: {open_sizes}"
    )
  runs = [_runner(block, (batch_size, *shape)) for block, shape in calls]
  times = np.zeros((repeats, len(runs)))
  for turn in range(-_WARMUP, repeats):
    for i, run in enumerate(runs):
      start = clock()
      run()
      seconds = clock() - start
      if turn >= 0:
        times[turn, i] = seconds
  return [
      float(seconds) if block.branch is not None else 0.0
      for seconds, (block, _) in zip(
          np.median(times, axis=0), calls, strict=True
      )
  ]


def _runner(block, shape):
  """Runs the branch of a block once, to its end."""
  if block.branch is None:
    return lambda: None
  numbers = np.random.default_rng(0).standard_normal(shape, np.float32)
  inputs = tf.constant(numbers, block.compute_dtype)

  @tf.function(autograph=False)
  def branch(inputs):
    # Not the outputs themselves: to read them is no part of the branch.
    outputs = block.branch(inputs, training=False)
    return tf.reshape(outputs, [-1])[:1]

  return lambda: branch(inputs).numpy()
