"""How much time skipping gives back: exported networks against the limit.

    python -m benchmarks.latency --output=benchmarks/results/latency.json

Candidates take turns in one process. `ungated` is the reference; `removed` is
the network without the blocks that the input closes, the limit of what
skipping can reach; `masked` computes every branch and multiplies by the gate,
as published code does. Random weights serve: the share of open gates is what
matters. About half an hour on two cores.
"""

import pathlib
import tempfile

from absl import app
from absl import flags
from ai_edge_litert import interpreter as litert
import numpy as np
import tensorflow as tf

from benchmarks import gated_networks
from benchmarks import interleaved
from export import serving
from export import tflite
from file_io import artifacts
import pgates

_OUTPUT = flags.DEFINE_string("output", None, "JSON to write", required=True)
_NETWORK = flags.DEFINE_string("network", "ResNet50", "Of pgates")
_SIZE = flags.DEFINE_integer("size", 224, "Side of the images in pixels")
_RATES = flags.DEFINE_list("rates", ["1.0", "0.75", "0.6", "0.4"], "Open rates")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8", "32"], "SavedModel")
_REPEATS = flags.DEFINE_integer("repeats", 15, "Rounds that count")
_THREADS = flags.DEFINE_integer("threads", 2, "Of TensorFlow and TF-Lite")


def saved_model(core, shape, folder):
  """Writes a core as a SavedModel and loads it: (images, threshold) -> {}."""
  module = tf.Module()
  module.run = tf.function(
      core,
      input_signature=[
          tf.TensorSpec([None, *shape], tf.float32, "images"),
          tf.TensorSpec([None], tf.float32, "threshold"),
      ],
      autograph=False,
  )
  path = tempfile.mkdtemp(dir=folder)
  function = module.run.get_concrete_function()
  tf.saved_model.save(module, path, signatures=function)
  loaded = tf.saved_model.load(path)

  def run(images, threshold):
    # By the module, whose functions live as long as it does.
    signature = loaded.signatures["serving_default"]
    return signature(images=images, threshold=threshold)

  return run


def tflite_file(model, *, dynamic, num_threads):
  """Converts a network and loads it: (images, threshold) -> outputs."""
  content = tflite.convert(model, dynamic=dynamic)
  loaded = litert.Interpreter(model_content=content, num_threads=num_threads)
  runner = loaded.get_signature_runner()

  def run(images, threshold):
    more = {"threshold": np.float32(threshold[0])} if dynamic else {}
    return runner(images=np.asarray(images), **more)

  return run


class Benchmark:
  """The networks, loaded once, and what they are measured on.

  Args:
    model: a `pgates.GatedModel` whose gates differ between images.
    images: float32 [n, height, width, channels].
    folder: for SavedModels.
    num_threads: of TF-Lite.
  """

  def __init__(self, model, images, *, folder, num_threads):
    self.model = model
    self.images = images
    self._folder = folder
    self._num_threads = num_threads
    blocks = range(len(pgates.gated_blocks(model)))
    self._blocks = set(blocks)
    # All branches, no gate.
    self._ungated = pgates.prune(model, [], opened=blocks)
    self._by_threshold = pgates.with_threshold_input(model)
    self._shared = {
        "ungated": self._load(self._ungated, "always_open", "masked"),
        "masked": self._load(model, "threshold", "masked"),
        "dynamic": self._load(model, "threshold", "routed"),
    }
    self._tflite = {
        "ungated": self._convert(self._ungated, dynamic=False),
        "dynamic": self._convert(model, dynamic=True),
    }

  def _load(self, model, strategy, execution):
    core = serving.make_core(model, strategy, execution=execution)
    return saved_model(core, self.images.shape[1:], self._folder)

  def _convert(self, model, *, dynamic):
    return tflite_file(model, dynamic=dynamic, num_threads=self._num_threads)

  def gates(self, threshold):
    """Decisions of all images at a threshold, bool [n, blocks]."""
    thresholds = np.full(len(self.images), threshold, np.float32)
    outputs = self._by_threshold.predict(
        {"images": self.images, "threshold": thresholds},
        batch_size=8,
        verbose=0,
    )
    return outputs["gates"] > 0

  def run(self, rate, batch_size, *, repeats):
    """Measures one open rate at one batch size.

    Returns:
      A dict for JSON.
    """
    threshold = gated_networks.threshold_of_rate(self.model, self.images, rate)
    gates = self.gates(threshold)
    macs = self.model.macs.executed(gates).numpy()
    # The images nearest to the mean, so that a few stand for all.
    order = np.argsort(np.abs(macs - macs.mean()), kind="stable")[:batch_size]
    images = tf.constant(self.images[order])
    thresholds = tf.fill([batch_size], tf.constant(threshold, tf.float32))
    engines = {"saved_model": dict(self._shared)}
    if batch_size == 1:
      closed = np.flatnonzero(~gates[order[0]]).tolist()
      opened = self._blocks - set(closed)
      removed = pgates.prune(self.model, closed, opened=opened)
      engines["tflite"] = dict(self._tflite)
      engines["tflite"]["removed"] = self._convert(removed, dynamic=False)
      engines["saved_model"]["removed"] = self._load(
          removed, "always_open", "masked"
      )
    share = float(macs[order].mean()) / self._ungated.macs.dense
    result = {
        "rate": rate,
        "batch_size": batch_size,
        "threshold": threshold,
        "executed_share_of_macs": share,
        "gate_patterns": len(np.unique(gates[order], axis=0)),
    }
    for engine, candidates in engines.items():
      calls = {
          name: (lambda run=run: run(images, thresholds))
          for name, run in candidates.items()
      }
      times = interleaved.measure(calls, repeats=repeats)
      result[engine] = interleaved.summary(times, "ungated")
    return result


def main(argv):
  del argv
  tf.config.threading.set_intra_op_parallelism_threads(_THREADS.value)
  shape = (_SIZE.value, _SIZE.value, 3)
  images = gated_networks.random_images(shape, 32)
  model = getattr(pgates, _NETWORK.value)(1000, input_shape=shape)
  gated_networks.randomize_batch_norms(model)
  gated_networks.spread_gates(model, images)
  rows = []
  with tempfile.TemporaryDirectory() as folder:
    benchmark = Benchmark(
        model, images, folder=folder, num_threads=_THREADS.value
    )
    for batch_size in map(int, _BATCH_SIZES.value):
      for rate in map(float, _RATES.value):
        rows.append(benchmark.run(rate, batch_size, repeats=_REPEATS.value))
        _print(rows[-1])
  artifacts.write_json(
      pathlib.Path(_OUTPUT.value),
      {
          "network": _NETWORK.value,
          "size": _SIZE.value,
          **interleaved.environment(_THREADS.value),
          "rows": rows,
      },
  )


def _print(row):
  print(
      f"batch {row['batch_size']:>2}, open rate {row['rate']:.2f}, executed "
      f"{100 * row['executed_share_of_macs']:.0f} % of the MACs"
  )
  for engine in ("saved_model", "tflite"):
    for name, times in row.get(engine, {}).items():
      print(
          f"  {engine:<12}{name:<10}{times['median_ms']:>9.1f} ms"
          f"{times['ratio']:>7.2f}",
          flush=True,
      )


if __name__ == "__main__":
  app.run(main)
