"""Networks that skip blocks, timed beside networks that do not."""

import numpy as np
import tensorflow as tf

from benchmarks import engines
from benchmarks import gated_networks
from export import sources
from export.auto import interleaved
import image_data
import pgates

_NUM_IMAGES = 256  # Of a run's test split.


class Benchmark:
  """The networks, loaded once, and what they are measured on.

  Args:
    model: a `pgates.GatedModel` whose gates differ between images.
    images: float32 [n, height, width, channels].
    folder: for SavedModels.
    num_threads: of TF-Lite and ONNX Runtime.
  """

  def __init__(self, model, images, *, folder, num_threads):
    self.model = model
    self.images = images
    self._folder = folder
    self._num_threads = num_threads
    self._blocks = set(range(len(pgates.gated_blocks(model))))
    # All branches, no gate.
    self._ungated = pgates.prune(model, [], always_open=self._blocks)
    self._by_threshold = pgates.with_threshold_input(model)
    self._saved_models = {
        "ungated": self._load(self._ungated, "always_open", "masked"),
        "masked": self._load(model, "threshold", "masked"),
        "dynamic": self._load(model, "threshold", "routed"),
        "keras": engines.keras_model(model),
    }
    self._tflite = {
        "ungated": self._convert(self._ungated, dynamic=False),
        "dynamic": self._convert(model, dynamic=True),
    }
    self._decisions = {}  # By open rate.
    if engines.has_onnx_runtime():
      self._saved_models["onnxruntime"] = engines.onnx_runtime(
          self._ungated, num_threads=num_threads
      )

  def _load(self, model, strategy, execution):
    return engines.saved_model(
        model, strategy, execution=execution, folder=self._folder
    )

  def _convert(self, model, *, dynamic):
    return engines.tflite_file(
        model, dynamic=dynamic, num_threads=self._num_threads
    )

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

    Args:
      rate: share of the gateable multiply-adds to execute; `map` for what
        the gates decide by themselves.
      batch_size: of TensorFlow; TF-Lite is measured with 1.
      repeats: rounds that count.

    Returns:
      A dict for JSON.
    """
    threshold, gates = self._decided(rate)
    macs = self.model.macs.executed(gates).numpy()
    # The images nearest to the mean, so that a few stand for all.
    order = np.argsort(np.abs(macs - macs.mean()), kind="stable")[:batch_size]
    inputs = _inputs(self.images[order], threshold)
    candidates = {"saved_model": dict(self._saved_models)}
    if batch_size == 1:
      candidates["tflite"] = dict(self._tflite)
      for engine, removed in self._removed(gates[order[0]]).items():
        candidates[engine]["removed"] = removed
    share = float(macs[order].mean()) / self._ungated.macs.dense
    result = {
        "rate": rate,
        "batch_size": batch_size,
        "threshold": threshold,
        "executed_share_of_macs": share,
        "gate_patterns": len(np.unique(gates[order], axis=0)),
    }
    for engine, functions in candidates.items():
      calls = {
          name: (lambda run=run, given=inputs[engine]: run(*given))
          for name, run in functions.items()
      }
      times = interleaved.measure(calls, repeats=repeats)
      result[engine] = interleaved.summary(times, "ungated")
      result[engine]["dynamic"]["ratio_to_limit"] = ratio_to_limit(times, share)
    return result

  def _decided(self, rate):
    """The threshold of an open rate, and what it decides."""
    if rate not in self._decisions:
      threshold = 0.5
      if rate != "map":
        threshold = gated_networks.threshold_of_rate(
            self.model, self.images, float(rate)
        )
      self._decisions[rate] = threshold, self.gates(threshold)
    return self._decisions[rate]

  def _removed(self, gates):
    """The network without the blocks that an image closes, by engine."""
    closed = set(np.flatnonzero(~gates).tolist())
    model = pgates.prune(self.model, closed, always_open=self._blocks - closed)
    return {
        "saved_model": self._load(model, "always_open", "masked"),
        "tflite": self._convert(model, dynamic=False),
    }


def _inputs(images, threshold):
  """What the candidates of an engine are all given, made before the clock."""
  thresholds = np.full(len(images), threshold, np.float32)
  return {
      "saved_model": (tf.constant(images), tf.constant(thresholds)),
      "tflite": (images, np.float32(threshold)),
  }


def ratio_to_limit(times, share):
  """Time of `dynamic` as a ratio to the least that skipping can need.

  Args:
    times: name -> seconds, one a round.
    share: executed multiply-adds by those of the ungated network.

  Returns:
    The median over rounds of the ratio to `removed`, the network without the
    blocks; where examples differ and so there is none, to `ungated` x share.
  """
  if "removed" in times:
    return interleaved.summary(times, "removed")["dynamic"]["ratio"]
  return interleaved.summary(times, "ungated")["dynamic"]["ratio"] / share


def random_network(name, size):
  """A network of random weights, and images that its gates tell apart."""
  images = gated_networks.random_images((size, size, 3), 32)
  model = getattr(pgates, name)(1000, input_shape=images.shape[1:])
  gated_networks.randomize_batch_norms(model)
  gated_networks.spread_gates(model, images)
  return model, images


def trained_network(workdir, data_dir):
  """The network of a run, and images of its test split."""
  source = sources.open_source(workdir=workdir, data_dir=data_dir)
  batches = image_data.eval_batches(
      source.dataset,
      "test",
      batch_size=_NUM_IMAGES,
      image_size=source.image_size,
  )
  images, _ = next(iter(batches))
  return source.model, images.numpy()
