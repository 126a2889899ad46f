"""Tests of `trainers.comparison.table`."""

import pytest

from tests.helpers import compared_runs
from trainers.comparison import summary as comparison_summary
from trainers.comparison import table as comparison_table


@pytest.fixture(name="text", scope="module")
def _text():
  value = comparison_summary.summarize(compared_runs.results())
  return comparison_table.markdown(value)


def _line(text, title, name):
  """The trials of a row, by the header of the table below a title."""
  table = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
  lines = [line for line in table.splitlines() if line.startswith("|")]
  trials = [[c.strip() for c in line.split("|")[1:-1]] for line in lines]
  (row,) = (row for row in trials if row[0] == name)
  return dict(zip(trials[0], row, strict=True))


@pytest.mark.parametrize(
    ("title", "name", "expected"),
    [
        (
            "Accuracy, by strategy",
            "per_batch_dependent 0.4",
            {"n": "2", "map": "92.00 +- 1.41", "always_open": ""},
        ),
        (
            "Accuracy, by strategy",
            "ungated",
            {"map": "", "always_open": "91.00 +- 1.41"},
        ),
        (
            "Rates and costs",
            "per_batch_dependent 0.6",
            {
                "rate trained": "0.65",
                "rate MAP": "0.7",
                "MACs % MAP": "70.0",
                "collapsed %": "100",
                "variance of rates": "0.100",
                "seconds a step": "1 +- 0.707",
                "parameters": "50",
            },
        ),
        (
            "Rates and costs",
            "ungated",
            {"MACs % MAP": "100.0", "collapsed %": ""},
        ),
        (
            "Accuracy after batch-norm re-estimation",
            "per_layer_dependent 0.4",
            {"map": "91.00", "prune:0.5": "92.00"},
        ),
        (
            "Accuracy at equal multiply-adds",
            "90",
            {
                "per_layer_dependent": "92.00",
                "per_batch_dependent - per_layer_dependent": (
                    "+0.00 [-12.71, +12.71]"
                ),
            },
        ),
        (
            "Pruned against gated",
            "per_batch_dependent 0.4",
            {
                "MACs %": "60.0",
                "parameters %": "60.0",
                "pruned - MAP": "-1.00 [-1.00, -1.00]",
                "re-estimated - MAP": "+2.00 [+2.00, +2.00]",
                "detectable": "0.00",
            },
        ),
        (
            "Against the ungated network",
            "per_batch_dependent 0.4",
            {
                "strategy": "map",
                "bypassed %": "30.0",
                "accuracy - ungated": "+1.00 [+1.00, +1.00]",
            },
        ),
        (
            "Strategies against MAP",
            "sampled",
            {"accuracy - MAP": "-2.00 [-2.00, -2.00]", "MACs %": "70.0"},
        ),
    ],
)
def test_cells_are_those_of_the_summary(text, title, name, expected):
  line = _line(text, title, name)
  assert {header: line[header] for header in expected} == expected


def test_one_seed_has_no_deviation_and_no_interval():
  trials = [c for c in compared_runs.results() if c["seed"] == 0]
  value = comparison_summary.summarize(trials)
  text = comparison_table.markdown(value)
  line = _line(text, "Accuracy, by strategy", "per_batch_dependent 0.4")
  assert line["map"] == "91.00" and line["n"] == "1"
  line = _line(text, "Strategies against MAP", "sampled")
  assert line["accuracy - MAP"] == "-2.00" and line["detectable"] == ""
