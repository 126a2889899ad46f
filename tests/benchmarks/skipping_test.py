"""Tests of `benchmarks.skipping`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import gated_networks
from benchmarks import skipping
import pgates
from tests.helpers import gated_networks as networks


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
  model, images = networks.resnet(), networks.images(24)
  gated_networks.spread_gates(model, images)
  return skipping.Benchmark(
      model,
      images,
      folder=tmp_path_factory.mktemp("benchmark"),
      num_threads=1,
  )


def _ungated_macs(model):
  blocks = range(len(pgates.gated_blocks(model)))
  return pgates.prune(model, [], always_open=blocks).macs.dense


@pytest.mark.parametrize(("rate", "batch_size"), [("map", 1), ("0.5", 5)])
def test_a_row_counts_what_its_images_execute(benchmark, rate, batch_size):
  row = benchmark.run(rate, batch_size, repeats=1)
  assert row["rate"] == rate and row["batch_size"] == batch_size
  gates = benchmark.gates(row["threshold"])
  macs = benchmark.model.macs
  always, branches = macs.always, np.asarray(macs.branches)
  executed = always + gates @ branches
  # Of the images nearest to the mean.
  nearest = np.sort(np.abs(executed - executed.mean()))[:batch_size]
  share = row["executed_share_of_macs"] * _ungated_macs(benchmark.model)
  assert abs(share - executed.mean()) <= nearest.max() + 1
  names = {"ungated", "masked", "dynamic", "keras", "onnxruntime"}
  measured = set(row["saved_model"]) - {"removed"}
  assert names - {"onnxruntime"} <= measured <= names
  if batch_size == 1:
    assert row["threshold"] == 0.5
    assert set(row["tflite"]) == {"ungated", "dynamic", "removed"}
    assert "removed" in row["saved_model"]
  else:
    assert 0.4 < (executed.mean() - always) / branches.sum() <= 0.5 + 1e-6
    assert "tflite" not in row and "removed" not in row["saved_model"]


@pytest.mark.parametrize("rate", ["1.0", "0.0"])
def test_the_rate_opens_all_gates_or_none(benchmark, rate):
  row = benchmark.run(rate, 2, repeats=1)
  macs = benchmark.model.macs
  # The gates themselves are always computed.
  executed = macs.always + float(rate) * sum(macs.branches)
  expected = executed / _ungated_macs(benchmark.model)
  assert row["executed_share_of_macs"] == pytest.approx(expected)
  assert row["gate_patterns"] == 1


def test_candidates_of_an_engine_get_the_same_inputs_from_before_the_clock(
    benchmark, monkeypatch
):
  received, measured = {}, []

  def recorded(engine, name):
    def run(images, threshold):
      received[engine, name] = images, threshold

    return run

  for engine in ("saved_model", "tflite"):
    functions = getattr(
        benchmark, f"_{engine}s" if engine[0] == "s" else "_tflite"
    )
    monkeypatch.setattr(
        benchmark,
        f"_{engine}s" if engine[0] == "s" else "_tflite",
        {name: recorded(engine, name) for name in functions},
    )
  monkeypatch.setattr(benchmark, "_removed", lambda gates: {})

  def measure(calls, *, repeats):
    del repeats
    for call in (*calls.values(), *calls.values()):
      call()
    measured.append([*calls])
    return {name: [1.0] for name in calls}

  monkeypatch.setattr(skipping.interleaved, "measure", measure)
  benchmark.run("map", 1, repeats=1)
  assert len(measured) == 2
  for engine, kinds in (
      ("saved_model", (tf.Tensor, tf.Tensor)),
      ("tflite", (np.ndarray, np.float32)),
  ):
    given = [value for key, value in received.items() if key[0] == engine]
    assert len(given) >= 2
    # The very same objects: nothing is sliced or converted in a call.
    assert len({tuple(map(id, each)) for each in given}) == 1
    assert all(map(isinstance, given[0], kinds))


def test_the_limit_is_the_network_without_the_blocks():
  times = {"ungated": [1.0, 4.0], "dynamic": [0.6, 2.4], "removed": [0.5, 2.0]}
  assert skipping.ratio_to_limit(times, share=0.4) == pytest.approx(1.2)


def test_the_limit_of_mixed_examples_is_their_share_of_the_ungated_time():
  times = {"ungated": [1.0, 4.0], "dynamic": [0.6, 2.4]}
  assert skipping.ratio_to_limit(times, share=0.4) == pytest.approx(1.5)


def test_random_network_has_gates_that_differ():
  model, images = skipping.random_network("ResNet18", 32)
  outputs = pgates.with_strategy(model, "map").predict(images, verbose=0)
  assert len(np.unique(outputs["gates"], axis=0)) > 4
