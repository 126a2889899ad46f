"""Tests of `trainers.comparison.summary`."""

import pytest

from tests.helpers import compared_runs
from trainers.comparison import statistics as statistics
from trainers.comparison import summary as comparison_summary

approx = pytest.approx


@pytest.fixture(name="value", scope="module")
def _value():
  # In any order: the seeds are paired by their numbers.
  return comparison_summary.summarize(compared_runs.results()[::-1])


def _find(entries, method, target=0.4):
  (entry,) = (
      entry
      for entry in entries
      if (entry["method"], entry["target_rate"]) == (method, target)
  )
  return entry


def test_rows_are_means_over_seeds(value):
  assert value["dense_macs"] == compared_runs.DENSE
  assert value["blocks"] == compared_runs.BLOCKS
  assert len(value["rows"]) == 4
  row = _find(value["rows"], "per_batch_dependent")
  accuracy = row["strategies"]["map"]["accuracy"]
  assert accuracy == approx(statistics.spread([0.91, 0.93]))
  assert row["strategies"]["map"]["macs_share"]["mean"] == approx(0.7)
  assert row["recalibrated"]["map"]["accuracy"]["mean"] == approx(0.93)
  assert row["trained_open_rate"]["mean"] == approx(0.45)
  assert row["seconds_per_step"]["mean"] == approx(1.0)
  assert row["parameters"] == {"mean": 50, "std": 0, "n": 2}
  ungated = _find(value["rows"], "ungated", None)
  assert ungated["collapsed_share"] is None
  assert "recalibrated" not in ungated


def test_methods_meet_at_equal_multiply_adds(value):
  shares = [entry["macs_share"] for entry in value["equal_macs"]]
  assert shares == list(comparison_summary.SHARES)
  by_share = dict(zip(shares, value["equal_macs"], strict=True))
  # The curves begin at 55 %.
  assert not by_share[0.5]["accuracy"] and not by_share[0.5]["differences"]
  found = by_share[0.9]
  # Of two targets, the better one on validation data.
  assert found["accuracy"]["per_batch_dependent"]["mean"] == approx(0.92)
  assert found["accuracy"]["per_layer_dependent"]["mean"] == approx(0.92)
  (difference,) = found["differences"]
  assert difference["ours"] == "per_batch_dependent"
  assert difference["theirs"] == "per_layer_dependent"
  expected = statistics.difference([0.91, 0.93], [0.92, 0.92])
  assert {k: difference[k] for k in expected} == approx(expected)


def test_plain_networks_meet_at_equal_multiply_adds_too():
  def curves(accuracy):
    curve = [{"macs": m, "accuracy": accuracy} for m in (300.0, 1000.0)]
    return [{"validation": curve, "test": curve}]

  value = comparison_summary.summarize(
      compared_runs.results(),
      {
          seed: {
              "dense_envelope": curves(0.8 + seed / 100),
              "cascade": curves(0.85),
              "oracle": {"accuracy": 0.9, "macs": 500.0},
              # Other networks, of which nothing else is known.
              "distilled_cascade": curves(0.95),
              "distilled_oracle": {"accuracy": 0.99, "macs": 600.0},
          }
          for seed in range(2)
      },
  )
  assert value["oracle"]["macs_share"]["mean"] == approx(0.5)
  (entry,) = (e for e in value["equal_macs"] if e["macs_share"] == 0.9)
  assert entry["accuracy"]["cascade"]["mean"] == approx(0.85)
  assert entry["accuracy"]["distilled_cascade"]["mean"] == approx(0.95)
  assert not {"oracle", "distilled_oracle"} & entry["accuracy"].keys()
  found = {(d["ours"], d["theirs"]): d for d in entry["differences"]}
  difference = found["cascade", "dense_envelope"]
  expected = statistics.difference([0.85, 0.85], [0.80, 0.81])
  assert {k: difference[k] for k in expected} == approx(expected)
  assert ("per_batch_dependent", "cascade") in found


def test_a_run_is_collapsed_where_most_gates_are(value):
  answers = value["answers"]["collapse"]
  half = _find(answers, "per_batch_dependent")
  assert half["collapsed_share"]["mean"] == 0.5
  assert half["runs_with_most_collapsed"] == 0
  whole = _find(answers, "per_batch_dependent", 0.6)
  assert whole["runs_with_most_collapsed"] == 2


def test_pruned_networks_are_held_against_their_gated_selves(value):
  answer = _find(value["answers"]["pruned"], "per_batch_dependent")
  assert answer["macs_share"]["mean"] == approx(0.6)
  assert answer["parameters_share"]["mean"] == approx(0.6)
  assert answer["minus_map"]["mean"] == approx(-0.01)
  assert answer["recalibrated_minus_map"]["mean"] == approx(0.02)
  assert answer["minus_map"]["n"] == 2


def test_gated_networks_are_held_against_the_ungated_one_of_their_seed(value):
  answer = _find(value["answers"]["against_ungated"], "per_batch_dependent")
  assert answer["strategy"] == "map"
  assert answer["bypassed"]["mean"] == approx(0.3)
  assert answer["bypassed_as_in_the_paper"]
  expected = statistics.difference([0.91, 0.93], compared_runs.UNGATED)
  assert answer["difference"] == approx(expected)


@pytest.mark.parametrize(
    ("rates", "within"), [((1, 0.6), 0), ((0.5, 0.5), 0), ((1, 0.3), 1)]
)
def test_the_papers_range_is_a_quarter_to_two_fifths(rates, within):
  trials = compared_runs.results()
  for trial in trials:
    if trial["target_rate"] is not None:
      trial["strategies"]["map"] = compared_runs.strategy(0.9, rates=rates)
  value = comparison_summary.summarize(trials)
  answers = value["answers"]["against_ungated"]
  assert {a["bypassed_as_in_the_paper"] for a in answers} == {bool(within)}


def test_stochastic_depth_runs_every_block(value):
  del value
  trials = [compared_runs.ungated(seed) for seed in range(2)]
  for seed in range(2):
    trial = compared_runs.ungated(seed)
    trial["method"] = "stochastic_depth"
    trial["strategies"] = {
        "expected": compared_runs.strategy(0.95, macs=1000, rates=(1, 1)),
        "map": compared_runs.strategy(0.1),
    }
    trials.append(trial)
  value = comparison_summary.summarize(trials)
  (answer,) = value["answers"]["against_ungated"]
  assert answer["strategy"] == "expected"
  assert answer["difference"]["mean"] == approx(0.04)
  assert not value["answers"]["pruned"]


def test_strategies_are_held_against_map_seed_by_seed(value):
  answers = {a["strategy"]: a for a in value["answers"]["strategies"]}
  assert answers["map"]["minus_map"]["mean"] == 0
  sampled = answers["sampled"]["minus_map"]
  # Two seeds, though six runs.
  assert sampled["n"] == 2 and sampled["mean"] == approx(-0.02)
  share = answers["prune:0.5"]["macs_share"]
  assert share["n"] == 2 and share["mean"] == approx(0.6)
