"""Whole networks timed beside one of them, in files."""

from collections.abc import Callable
from collections.abc import Mapping
import os
import pathlib
import time

import numpy as np
import tensorflow as tf

from export.saved_model import graph_stripping
from export.saved_model import inference_graphs
from export.saved_model import serving
from export.tflite import conversion
from export.timing import engines
from export.timing import interleaved
import pgates

# Images that networks are timed on, and for about how many seconds.
_NUM_IMAGES = 16
_SECONDS = 20.0
ROUNDS = (5, 100)  # At least, at most.


def ratios(
    paths: Mapping[str, str | os.PathLike],
    images: np.ndarray,
    *,
    reference: str,
    format: str,
    batch_size: int,
    threshold: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
  """Times of files as ratios to that of one of them.

  Args:
    paths: by name.
    images: float32 [n, height, width, channels]; 16 are run in turn.
    reference: name of the file that ratios are to.
    format: `saved_model` or `tflite`.
    batch_size: of a call.
    threshold: of the gates, where a file takes one.
    clock: returns seconds.

  Returns:
    name -> median over rounds of the ratio within a round.
  """
  count = max(_NUM_IMAGES // batch_size, 1)
  indices = np.resize(np.arange(len(images)), count * batch_size)
  batches = np.split(images[indices], count)
  calls = {}
  for name, path in paths.items():
    run = engines.load(path, format, threshold=threshold)
    calls[name] = lambda run=run: [run(batch) for batch in batches]
  # The first runs are slower, and tell how many more there is time for.
  first = interleaved.measure(calls, repeats=1, warmup=1, clock=clock)
  rounds = _SECONDS / max(sum(map(sum, first.values())), 1e-6)
  times = interleaved.measure(
      calls,
      repeats=int(np.clip(rounds, *ROUNDS)),
      warmup=1,
      clock=clock,
  )
  found = interleaved.summary(times, reference)
  if interleaved.is_unsteady(found):
    print(
        "Times differ much from round to round, so that their ratios may be "
        "off. Are other programs at work? Run it again when they are not.",
        flush=True,
    )
  return {name: each["ratio"] for name, each in found.items()}


def write(
    model: pgates.GatedModel,
    strategy: pgates.Strategy,
    path: str | os.PathLike,
    format: str,
) -> None:
  """Writes the network alone, without what a server needs around it.

  Args:
    model: the network.
    strategy: what is left to decide for each input.
    path: of the file or folder.
    format: `saved_model` or `tflite`.
  """
  is_dynamic = strategy.threshold is not None
  if format == "tflite":
    content = conversion.convert(model, dynamic=is_dynamic)
    pathlib.Path(path).write_bytes(content)
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
  inference_graphs.save(module, path, function)
  graph_stripping.strip(path)
