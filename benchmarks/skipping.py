"""Networks that skip blocks, timed beside networks that do not."""

import pathlib
import time

import numpy as np
import tensorflow as tf

from benchmarks import candidates
from benchmarks import engines
from benchmarks import gated_networks
from benchmarks import served
from export.timing import engines as exported
from export.timing import interleaved
import pgates
from pgates.layers import gate_rules


class Benchmark:
  """Files of the networks, written once, and what they are measured on.

  Args:
    subject: a `subjects.Subject`.
    folder: for files.
    num_threads: of an operation, in each engine.
  """

  def __init__(self, subject, *, folder, num_threads):
    self._subject = subject
    self._folder = pathlib.Path(folder)
    self._num_threads = num_threads
    self._by_threshold = pgates.with_threshold_input(subject.model)
    by_rule = candidates.of_rule(subject.model, pgates.parse_strategy("map"))
    # These take the threshold as an input: one file for all rates.
    self._files = {
        (format, name): self._write(candidate, f"{format}_{name}", format)
        for format in ("saved_model", "tflite")
        for name, candidate in by_rule.items()
    }
    self._all_open = by_rule["all_open"].model
    self._reference = subject.ungated or self._all_open
    self._others = {
        "keras": engines.keras_model(subject.model),
        **engines.other_runtimes(self._reference, num_threads=num_threads),
    }
    self._decisions = {}  # By open rate.
    self._loaded = {}  # TensorFlow never frees what it loaded.

  def _write(self, candidate, name, format):
    path = self._folder / name
    candidate.write(path, format)
    return path

  def gates(self, threshold):
    """Decisions of all images at a threshold, bool [n, blocks]."""
    images = self._subject.images
    thresholds = np.full(len(images), threshold, np.float32)
    outputs = self._by_threshold.predict(
        {"images": images, "threshold": thresholds}, batch_size=8, verbose=0
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
    macs = self._subject.model.macs.executed(gates).numpy()
    # The images nearest to the mean, so that a few stand for all.
    order = np.argsort(np.abs(macs - macs.mean()), kind="stable")[:batch_size]
    share = float(macs[order].mean()) / self._reference.macs.dense
    result = {
        "rate": rate,
        "batch_size": batch_size,
        "threshold": threshold,
        "executed_share_of_macs": share,
        "gate_patterns": len(np.unique(gates[order], axis=0)),
    }
    images = self._subject.images[order]
    for format in ("saved_model", "tflite")[: 2 if batch_size == 1 else 1]:
      networks = self._networks(rate, gates[order], format)
      files = self._paths(networks, rate, format, batch_size)
      timed = self._time(files, format, images, threshold, repeats)
      for engine, times in timed.items():
        result[engine] = interleaved.summary(times, self._subject.reference)
        for name, ratio in ratios_to_limit(
            times, share, self._subject.reference
        ).items():
          result[engine][name]["ratio_to_limit"] = ratio
      if self._subject.test is not None:
        result.setdefault("networks", {})[format] = self._measured(networks)
    return result

  def _decided(self, rate):
    """The threshold of an open rate, and what it decides."""
    if rate not in self._decisions:
      threshold = gate_rules.MAP_THRESHOLD
      if rate != "map":
        threshold = gated_networks.threshold_of_rate(
            self._subject.model, self._subject.images, float(rate)
        )
      self._decisions[rate] = threshold, self.gates(threshold)
    return self._decisions[rate]

  def _networks(self, rate, gates, format):
    """All candidates, by name."""
    model, validation = self._subject.model, self._subject.validation
    rule = pgates.parse_strategy(
        "map" if rate == "map" else f"threshold:{self._decided(rate)[0]!r}"
    )
    found = dict(candidates.of_rule(model, rule))
    if self._subject.ungated is not None:
      always = pgates.parse_strategy("always_open")
      found["ungated"] = candidates.Candidate(self._subject.ungated, always)
    if validation is not None:
      found |= candidates.decided(
          model, rule, validation, format=format, batch_size=len(gates)
      )
    if len(gates) == 1:
      found["removed"] = candidates.removed(model, gates[0])
    return found

  def _paths(self, networks, rate, format, batch_size):
    """The files of candidates, written where they are not yet."""
    return {
        name: self._files.get((format, name))
        or self._write(network, f"{format}_{name}_{rate}_{batch_size}", format)
        for name, network in networks.items()
    }

  def _time(self, files, format, images, threshold, repeats):
    """Seconds of each round by engine and candidate."""
    if format == "tflite":
      return {
          "tflite": in_turn(
              {name: self._tflite(files[name], threshold) for name in files},
              images,
              repeats=repeats,
          )
      }
    calls = {name: self._saved_model(path) for name, path in files.items()}
    thresholds = np.full(len(images), threshold, np.float32)
    inputs = tf.constant(images), tf.constant(thresholds)
    return {
        "saved_model": in_turn(
            {**calls, **self._others}, *inputs, repeats=repeats
        ),
        "served": served.measure(
            files,
            images[None],
            dict.fromkeys(files, threshold),
            repeats=repeats,
            num_threads=self._num_threads,
        ),
    }

  def _saved_model(self, path):
    if path not in self._loaded:
      self._loaded[path] = engines.saved_model(path)
    return self._loaded[path]

  def _tflite(self, path, threshold):
    return exported.load(
        path, "tflite", threshold=threshold, num_threads=self._num_threads
    )

  def _measured(self, networks):
    found = {
        name: network.measured(self._subject.test)
        for name, network in networks.items()
        if name != "removed"  # For one image alone.
    }
    dense = self._reference.macs.dense
    return {
        name: {
            "accuracy": each["accuracy"],
            "share_of_macs": each["macs"] / dense,
        }
        for name, each in found.items()
    }


def in_turn(functions, *inputs, repeats, clock=time.perf_counter):
  """Times functions of the same inputs, which were made before the clock.

  Args:
    functions: by name.
    *inputs: of each.
    repeats: rounds that count.
    clock: returns seconds.

  Returns:
    name -> list of seconds, one a round.
  """
  calls = {
      name: (lambda run=run: run(*inputs)) for name, run in functions.items()
  }
  return interleaved.measure(calls, repeats=repeats, clock=clock)


def ratios_to_limit(times, share, reference):
  """Times of skipping as ratios to the least that skipping can need.

  Args:
    times: name -> seconds, one a round.
    share: executed multiply-adds by those of the reference.
    reference: name of the network without gates.

  Returns:
    name -> median over rounds of the ratio to `removed`, the network without
    the blocks that the one image closes; where examples differ and so there is
    none, `dynamic` alone by the reference x share.
  """
  if "removed" not in times:
    ratio = interleaved.summary(times, reference)["dynamic"]["ratio"]
    return {"dynamic": ratio / share}
  to_removed = interleaved.summary(times, "removed")
  names = {"dynamic", "settled", "auto"} & set(times)
  return {name: to_removed[name]["ratio"] for name in sorted(names)}
