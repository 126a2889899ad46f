"""Which kernels a TensorFlow step spends its time in, by type of op."""

import collections
import pathlib
import re
import tempfile
import time

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

# A kernel is traced as "path/of/the/op:OpType".
_KERNEL = re.compile(r"[^:]+:(\w+)")


def by_type(space, *, num_steps):
  """Milliseconds a step by type of op, of a profiler's trace.

  Args:
    space: an `XSpace`.
    num_steps: in the trace.

  Returns:
    op type -> milliseconds, summed over threads. What runs within another
    kernel of its thread counts for the inner one only.
  """
  picoseconds = collections.Counter()
  for plane in space.planes:
    for line in plane.lines:
      around = []  # (end, type) of the kernels that contain the event.
      for start, duration, kind in _kernels(plane, line):
        while around and around[-1][0] <= start:
          around.pop()
        if around:
          picoseconds[around[-1][1]] -= duration
        picoseconds[kind] += duration
        around.append((start + duration, kind))
  return {
      kind: total / 1e9 / num_steps for kind, total in picoseconds.most_common()
  }


def _kernels(plane, line):
  """(start, duration, op type) of a thread's kernels, outer ones first."""
  found = []
  for event in line.events:
    kernel = _KERNEL.fullmatch(plane.event_metadata[event.metadata_id].name)
    if kernel:
      found.append((event.offset_ps, event.duration_ps, kernel[1]))
  return sorted(found, key=lambda each: (each[0], -each[1]))


def traced(step, *, num_steps, clock=time.perf_counter):
  """Runs a function under TensorFlow's profiler.

  Args:
    step: function without arguments.
    num_steps: how often to call it.
    clock: returns seconds.

  Returns:
    `{"step_ms", "ops_ms"}`: milliseconds a call, by the clock and as
    `by_type`.
  """
  with tempfile.TemporaryDirectory() as folder:
    with tf.profiler.experimental.Profile(folder):
      start = clock()
      for _ in range(num_steps):
        step()
      seconds = clock() - start
    (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
  return {
      "step_ms": 1000 * seconds / num_steps,
      "ops_ms": by_type(space, num_steps=num_steps),
  }


def outside_convolutions(ops_ms):
  """The share of the kernels' time that is not a convolution's."""
  # Also _MklNativeConv2DBackpropInput, _FusedConv2D, ...
  inside = sum(ms for kind, ms in ops_ms.items() if "Conv2D" in kind)
  return 1 - inside / sum(ops_ms.values())


def compared(profiles, *, num_top=10):
  """What the profiles of two networks say, for JSON.

  Args:
    profiles: name -> `traced`, of `gated` and `ungated`.
    num_top: op types to keep.

  Returns:
    name -> step and kernel time, share outside convolutions, and the types
    with the most time; and `growth_ms`, those whose time differs the most.
  """
  result = {
      name: {
          "step_ms": each["step_ms"],
          "kernels_ms": sum(each["ops_ms"].values()),
          "outside_convolutions": outside_convolutions(each["ops_ms"]),
          "top_ops_ms": dict(list(each["ops_ms"].items())[:num_top]),
      }
      for name, each in profiles.items()
  }
  growth = collections.Counter(profiles["gated"]["ops_ms"])
  growth.subtract(profiles["ungated"]["ops_ms"])
  top = sorted(growth.items(), key=lambda each: -abs(each[1]))[:num_top]
  return {**result, "growth_ms": dict(top)}
