"""Whole networks timed beside the ungated one, as they will be exported."""

from collections.abc import Callable
from collections.abc import Mapping
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from export.auto import engines
from export.auto import interleaved
from export.saved_model import graph_stripping
from export.saved_model import serving
from export.tflite import conversion
import pgates

_REPEATS = 60
_WARMUP = 5


def ratios(
    networks: Mapping[str, tuple[pgates.GatedModel, pgates.Strategy]],
    images: np.ndarray,
    *,
    format: str,
    batch_size: int,
    repeats: int = _REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
  """Times of networks as ratios to that of `ungated`.

  Args:
    networks: name -> network and what is left to decide for each input; one is
      called `ungated`.
    images: float32 [n, height, width, channels], to run in turn.
    format: `saved_model` or `tflite`.
    batch_size: of a call.
    repeats: rounds that count, each over all images.
    clock: returns seconds.

  Returns:
    name -> median over rounds of the ratio within a round.
  """
  batches = [
      images[i : i + batch_size]
      for i in range(0, len(images) - batch_size + 1, batch_size)
  ]
  with tempfile.TemporaryDirectory() as temporary:
    calls = {}
    for name, (model, strategy) in networks.items():
      path = pathlib.Path(temporary) / name
      _write(model, strategy, path, format)
      calls[name] = _calls(path, format, batches, strategy)
    times = interleaved.measure(
        {
            name: lambda each=each: [c() for c in each]
            for name, each in calls.items()
        },
        repeats=repeats,
        warmup=_WARMUP,
        clock=clock,
    )
  found = interleaved.summary(times, "ungated")
  return {name: each["ratio"] for name, each in found.items()}


def _calls(path, format, batches, strategy):
  calls = []
  for images in batches:
    inputs = {"images": images}
    if strategy.threshold is not None:
      shape = () if format == "tflite" else (len(images),)
      inputs["threshold"] = np.full(shape, strategy.threshold, np.float32)
    calls.append(engines.prepare(path, format, inputs))
  return calls


def _write(model, strategy, path, format):
  is_dynamic = strategy.threshold is not None
  if format == "tflite":
    path.write_bytes(conversion.convert(model, dynamic=is_dynamic))
    return
  module = tf.Module()
  shape = model.inputs[0].shape[1:]
  specs = [
      tf.TensorSpec([None, *shape], tf.float32, "images"),
      tf.TensorSpec([None], tf.float32, "threshold"),
  ]
  rule = "threshold" if is_dynamic else strategy
  core = serving.make_core(model, rule, execution="routed")
  module.run = tf.function(
      core, input_signature=specs if is_dynamic else specs[:1], autograph=False
  )
  function = module.run.get_concrete_function()
  tf.saved_model.save(module, str(path), signatures=function)
  graph_stripping.strip(path)
