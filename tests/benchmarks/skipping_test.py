"""Tests of `benchmarks.skipping`."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import candidates
from benchmarks import gated_networks
from benchmarks import skipping
from benchmarks import subjects
import pgates
from tests.helpers import gated_networks as networks
from tests.helpers import result_shapes

IMAGES = networks.images(24)
OTHERS = {"keras", "onnxruntime", "openvino"}


@pytest.fixture(scope="module")
def model():
  model = networks.resnet()
  gated_networks.spread_gates(model, IMAGES)
  return model


@pytest.fixture(scope="module")
def benchmark(model, tmp_path_factory):
  return skipping.Benchmark(
      subjects.Subject(model, IMAGES),
      folder=tmp_path_factory.mktemp("benchmark"),
      num_threads=1,
  )


def _open_macs(model):
  blocks = range(len(pgates.gated_blocks(model)))
  return pgates.prune(model, [], always_open=blocks).macs.dense


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "batch_size"),
    [("map", 1), ("0.5", 5)],
)
def test_a_row_counts_what_its_images_execute(
    benchmark, model, rate, batch_size
):
  row = benchmark.run(rate, batch_size, repeats=1)
  assert row["rate"] == rate and row["batch_size"] == batch_size
  gates = benchmark.gates(row["threshold"])
  always, branches = model.macs.always, np.asarray(model.macs.branches)
  executed = always + gates @ branches
  # Of the images nearest to the mean.
  nearest = np.sort(np.abs(executed - executed.mean()))[:batch_size]
  share = row["executed_share_of_macs"] * _open_macs(model)
  assert abs(share - executed.mean()) <= nearest.max() + 1
  names = {"all_open", "masked", "dynamic"}
  if batch_size == 1:
    assert row["threshold"] == 0.5
    names.add("removed")
    assert set(row["tflite"]) == names
    assert row["tflite"]["dynamic"]["ratio_to_limit"] > 0
  else:
    assert 0.4 < (executed.mean() - always) / branches.sum() <= 0.5 + 1e-6
    assert "tflite" not in row
  assert set(row["served"]) == names
  assert names | {"keras"} <= set(row["saved_model"]) <= names | OTHERS


def _same_shape(row, name, batch_size):
  """Whether a committed result's rows are such as are written today."""
  rows = result_shapes.committed(name)["rows"]
  # One gate pattern or several; a runtime that is installed or not.
  shapes = [
      result_shapes.shape(each, ignored=OTHERS)
      for each in (row, *rows)
      if each is row or each["batch_size"] == batch_size
  ]
  assert len(shapes) > 1
  return all(each == shapes[0] for each in shapes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "batch_size", "theirs"), [("map", 1, 1), ("0.5", 5, 8)]
)
def test_the_committed_times_are_such_rows(benchmark, ours, batch_size, theirs):
  row = benchmark.run(ours, batch_size, repeats=1)
  assert _same_shape(row, "latency.json", theirs)
  (row,) = result_shapes.committed("latency.json")["rows"][:1]
  assert OTHERS <= set(row["saved_model"])


@pytest.mark.slow
@pytest.mark.parametrize("rate", ["1.0", "0.0"])
def test_the_rate_opens_all_gates_or_none(benchmark, model, rate):
  row = benchmark.run(rate, 2, repeats=1)
  # The gates themselves are always computed.
  executed = model.macs.always + float(rate) * sum(model.macs.branches)
  expected = executed / _open_macs(model)
  assert row["executed_share_of_macs"] == pytest.approx(expected)
  assert row["gate_patterns"] == 1


@pytest.mark.slow
def test_of_labelled_data_every_candidate_is_measured(
    model, tmp_path, monkeypatch
):
  calls = []

  def decided(model, rule, validation, *, format, batch_size):
    calls.append((format, batch_size))
    dynamic = candidates.Candidate(model, rule)
    fixed = candidates.without_gates(model, [0])
    return {"settled": dynamic, "auto": dynamic, "fixed": fixed}

  monkeypatch.setattr(candidates, "decided", decided)
  ungated = networks.resnet(gate="none")
  outputs = pgates.with_strategy(model, "map").predict(IMAGES, verbose=0)
  labels = outputs["logits"].argmax(axis=-1)
  labels[:6] = (labels[:6] + 1) % 10
  data = tf.data.Dataset.from_tensor_slices((IMAGES, labels)).batch(8)
  row = skipping.Benchmark(
      subjects.Subject(model, IMAGES, data, data, ungated),
      folder=tmp_path,
      num_threads=1,
  ).run("map", 1, repeats=1)
  assert calls == [("saved_model", 1), ("tflite", 1)]
  for engine in ("served", "tflite"):
    assert set(row[engine]) == set(candidates.NAMES)
    assert row[engine]["ungated"]["ratio"] == 1
  for measured in row["networks"].values():
    assert measured["dynamic"]["accuracy"] == pytest.approx(18 / 24)
    assert measured["ungated"]["share_of_macs"] == 1
    assert measured["all_open"]["accuracy"] != measured["ungated"]["accuracy"]
    assert measured["fixed"]["share_of_macs"] < 1
  assert _same_shape(row, "latency_cluttered_digits.json", 1)
  seed, *_ = result_shapes.committed("gated_cluttered_digits.json")["seeds"]
  assert result_shapes.shape(row) == result_shapes.shape(seed["rows"][0])


def test_candidates_of_an_engine_get_the_same_inputs_from_before_the_clock():
  received, now = [], iter(range(1000))

  def candidate(images, threshold):
    received.append((next(now), images, threshold))

  def clock():
    return next(now)

  images, threshold = tf.constant(IMAGES[:1]), tf.constant([0.5])
  times = skipping.in_turn(
      {"all_open": candidate, "dynamic": candidate},
      *(images, threshold),
      repeats=3,
      clock=clock,
  )
  # Between two readings of the clock, nothing but the one call.
  assert times == {"all_open": [2] * 3, "dynamic": [2] * 3}
  # The very same objects: nothing is sliced or converted in a call.
  assert len(received) == 2 * (3 + 2)
  assert all(each[1] is images and each[2] is threshold for each in received)


def test_the_limit_is_the_network_without_the_blocks():
  times = {"all_open": [1.0, 4.0], "dynamic": [0.6, 2.4], "removed": [0.5, 2.0]}
  assert skipping.ratios_to_limit(times, 0.4, "all_open") == pytest.approx(
      {"dynamic": 1.2}
  )


def test_the_limit_of_mixed_examples_is_their_share_of_the_time_of_all():
  times = {"all_open": [1.0, 4.0], "dynamic": [0.6, 2.4]}
  assert skipping.ratios_to_limit(times, 0.4, "all_open") == pytest.approx(
      {"dynamic": 1.5}
  )
