"""Tests of `benchmarks.kernel_times`."""

import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks import kernel_times


def _trace(*threads):
  """An `XSpace` of one plane; threads list (name, start, end) in ms."""
  space = xplane_pb2.XSpace()
  plane = space.planes.add(name="/host:CPU")
  for events in threads:
    line = plane.lines.add()
    for name, start, end in events:
      number = len(plane.event_metadata) + 1
      plane.event_metadata[number].name = name
      line.events.add(
          metadata_id=number,
          offset_ps=start * 10**9,
          duration_ps=(end - start) * 10**9,
      )
  return space


def test_kernels_are_summed_over_threads_and_steps():
  space = _trace(
      [
          ("ThreadpoolListener::Record", 0, 90),
          ("ExecutorState::Process", 0, 90),
          ("EagerLocalExecute: __inference_run_1", 0, 90),
          ("a/mul:Mul", 0, 10),
          ("b/mul:Mul", 10, 14),
          ("c/conv:_MklNativeConv2DBackpropInput", 20, 50),
      ],
      [("d/mul:Mul", 5, 7), ("e/conv:_FusedConv2D", 7, 17)],
  )
  found = kernel_times.by_type(space, num_steps=2)
  assert list(found.items()) == [
      ("_MklNativeConv2DBackpropInput", 15.0),
      ("Mul", 8.0),
      ("_FusedConv2D", 5.0),
  ]
  assert kernel_times.outside_convolutions(found) == pytest.approx(8 / 28)


def test_nested_and_repeated_kernels_count_once():
  space = _trace(
      [
          # Not in order: a profiler records an event when it ends.
          ("a/inner:Conv2D", 2, 8),
          ("a/innermost:Mul", 3, 4),
          ("a/second:Mul", 8, 9),
          ("a:StatefulPartitionedCall", 0, 10),
          ("b:Mul", 10, 30),
          ("b:Mul", 10, 30),
      ]
  )
  found = kernel_times.by_type(space, num_steps=1)
  expected = {"Mul": 22, "Conv2D": 5, "StatefulPartitionedCall": 3}
  assert found == pytest.approx(expected)


def test_real_traces_tell_convolutions_from_the_rest():
  generator = tf.random.Generator.from_seed(0)
  images = generator.normal((8, 64, 64, 32))
  kernel = generator.normal((3, 3, 32, 32))
  matrix = generator.normal((700, 700))
  shares = {}
  for name, function in {
      "matmul": lambda: tf.linalg.matmul(matrix, matrix),
      "convolution": lambda: tf.nn.conv2d(images, kernel, 1, "SAME"),
  }.items():
    compiled, seconds = tf.function(function), []
    compiled()

    def step(compiled=compiled, seconds=seconds):
      start = time.perf_counter()
      compiled().numpy()
      seconds.append(time.perf_counter() - start)

    clock = iter([10.0, 16.0]).__next__
    found = kernel_times.traced(step, num_steps=3, clock=clock)
    assert len(seconds) == 3 and found["step_ms"] == 2000
    # On one thread, within the call.
    assert 0 < sum(found["ops_ms"].values()) < 1000 * np.mean(seconds)
    shares[name] = kernel_times.outside_convolutions(found["ops_ms"])
  assert shares["matmul"] == 1
  assert shares["convolution"] < 0.05


def test_growth_is_gated_less_ungated():
  profiles = {
      "gated": {"step_ms": 9.0, "ops_ms": {"Conv2D": 4, "Mul": 3, "A": 1}},
      "ungated": {"step_ms": 7.0, "ops_ms": {"Conv2D": 4.5, "Mul": 1, "B": 1}},
  }
  result = kernel_times.compared(profiles, num_top=3)
  assert result["gated"]["outside_convolutions"] == 0.5
  assert result["gated"]["kernels_ms"] == 8
  assert result["ungated"]["step_ms"] == 7
  assert result["growth_ms"] == {"Mul": 2, "A": 1, "B": -1}
  assert kernel_times.compared(profiles, num_top=1)["gated"]["top_ops_ms"] == {
      "Conv2D": 4
  }
