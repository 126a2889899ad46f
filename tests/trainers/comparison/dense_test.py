"""Tests of `trainers.comparison.dense`."""

import numpy as np
import pytest
from scipy import special

import pgates
from trainers.comparison import dense
from trainers.comparison import trials as trials_lib
from trainers.evaluation import predictions as predictions_lib

approx = pytest.approx


def _split(labels, found, sure, macs):
  """Predictions of classes `found`, of two, each as `sure` as given."""
  logits = np.zeros((len(labels), 2))
  places = np.arange(len(labels))
  logits[places, found] = np.log(np.asarray(sure) / (1 - np.asarray(sure)))
  return predictions_lib.Predictions(
      logits, np.asarray(labels), np.full(len(labels), float(macs))
  )


def _network(macs, *, right, seed=0, count=400):
  """As good on both splits; more often right where it is sure."""
  found = {}
  for number, split in enumerate(predictions_lib.SPLITS):
    generator = np.random.default_rng([seed, number])
    labels = np.random.default_rng(number).integers(2, size=count)
    sure = generator.uniform(0.5, 1, count)
    wrong = generator.uniform(size=count) > right * (0.5 + sure / 2)
    found[split] = _split(labels, labels ^ wrong, sure, macs)
  return found


SMALL = _network(30, right=0.8)
LARGE = _network(100, right=1.0, seed=1)


def _accuracy(network, split="test"):
  return network[split].right.mean()


def test_ends_of_a_cascade_are_the_first_network_and_both():
  for split, curve in dense.cascade(SMALL, LARGE).items():
    first, last = curve[0], curve[-1]
    mean = (SMALL[split].logits + LARGE[split].logits) / 2
    both = np.mean(mean.argmax(axis=1) == SMALL[split].labels)
    assert both != _accuracy(LARGE, split)
    assert first == approx(
        {
            "macs": 30,
            "accuracy": _accuracy(SMALL, split),
            "threshold": 1.0,
            "deferred": 0.0,
        }
    )
    assert last == approx(
        {"macs": 130, "accuracy": both, "threshold": 0.0, "deferred": 1.0}
    )


def test_threshold_is_that_of_the_gate_of_cascades():
  curve = dense.cascade(SMALL, LARGE)["test"]
  probability = special.expit(
      pgates.ConfidenceGate()(SMALL["test"].logits).numpy()
  )
  for point in curve[1:-1]:
    opened = np.mean(probability > point["threshold"])
    # Of 400; one may stand at the threshold itself.
    assert opened == approx(point["deferred"], abs=1.5 / 400)
    assert point["macs"] == approx(30 + 100 * point["deferred"])


def test_a_cascade_asks_again_where_the_first_is_least_sure():
  labels = [0, 1, 0, 1]
  sure = [0.9, 0.6, 0.8, 0.7]
  one = _split(labels, [0, 0, 0, 0], sure, macs=10)
  # Surer than the first wherever it is asked.
  two = _split(labels, [1, 1, 1, 1], [0.99] * 4, macs=50)
  curves = dense.cascade(
      {"validation": one, "test": one}, {"validation": two, "test": two}
  )
  points = {(p["macs"], p["accuracy"]) for p in curves["test"]}
  # In order of doubt: 0.6 is mended, 0.7 too, 0.8 is spoilt, 0.9 too.
  shares = [10, 22.5, 35, 47.5, 60]
  assert points == set(zip(shares, [0.5, 0.75, 1.0, 0.75, 0.5], strict=True))


def test_thresholds_are_of_validation_examples():
  surer = {**SMALL, "test": _surer(SMALL["test"])}
  curves = dense.cascade(surer, LARGE)
  # No test example is as unsure as half of the validation examples.
  middle = len(curves["test"]) // 2
  assert curves["validation"][middle]["macs"] == approx(80, abs=0.5)
  assert curves["test"][middle]["macs"] == approx(30)


def _surer(predictions):
  return predictions_lib.Predictions(
      predictions.logits * 1e6, predictions.labels, predictions.macs
  )


def test_networks_of_other_examples_are_no_cascade():
  other = _network(100, right=1.0, count=300)
  with pytest.raises(ValueError, match="same examples.*Received: 400 and 300"):
    dense.cascade(SMALL, other)


def test_envelope_is_one_point_a_network():
  curve = dense.envelope([LARGE, SMALL])["test"]
  assert [point["macs"] for point in curve] == [30, 100]
  assert curve[1]["accuracy"] == approx(_accuracy(LARGE))


def test_cascades_are_of_each_pair_the_cheaper_first():
  middle = _network(60, right=0.9, seed=2)
  curves = dense.cascades([LARGE, SMALL, middle])
  ends = [(c["test"][0]["macs"], c["test"][-1]["macs"]) for c in curves]
  assert ends == [(30, 90), (30, 130), (60, 160)]


def test_oracle_asks_the_cheapest_that_is_right():
  labels = [0, 0, 0, 0]
  one = {"test": _split(labels, [0, 1, 1, 0], [0.9] * 4, macs=10)}
  two = {"test": _split(labels, [0, 0, 1, 1], [0.9] * 4, macs=50)}
  found = dense.oracle([two, one])
  assert found == approx({"accuracy": 0.75, "macs": (10 + 50 + 10 + 10) / 4})


def test_curves_are_read_by_seed_where_there_are_several(tmp_path):
  trials = trials_lib.make_trials(["ungated", "cifar_resnet8"], [0.4], [0, 1])
  trials.append(trials_lib.Trial("per_batch_dependent", 0.4, 0))
  for trial in trials[:3]:
    network = LARGE if trial.method == "ungated" else SMALL
    predictions_lib.write(tmp_path / trial.name / predictions_lib.NAME, network)
  # The second network of the other seed is the first again.
  predictions_lib.write(tmp_path / trials[3].name / predictions_lib.NAME, LARGE)
  found = dense.read_curves(tmp_path, trials)
  assert list(found) == [0]
  assert found[0][dense.ENVELOPE] == [dense.envelope([SMALL, LARGE])]
  assert found[0][dense.CASCADE] == dense.cascades([SMALL, LARGE])


def test_networks_that_imitate_another_have_curves_of_their_own(tmp_path):
  methods = ["ungated", "distilled_cifar_resnet8", "distilled_cifar_resnet14"]
  trials = trials_lib.make_trials(methods, [0.4], [0])
  for trial, network in zip(trials, [LARGE, SMALL, LARGE], strict=True):
    predictions_lib.write(tmp_path / trial.name / predictions_lib.NAME, network)
  found = dense.read_curves(tmp_path, trials)
  assert found[0].keys() == {
      dense.DISTILLED + name
      for name in (dense.ENVELOPE, dense.CASCADE, dense.ORACLE)
  }
  assert found[0]["distilled_cascade"] == dense.cascades([SMALL, LARGE])
