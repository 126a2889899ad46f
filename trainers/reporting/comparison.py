"""The report of a comparison."""

import collections
from typing import Any

import numpy as np

from trainers.comparison import summary as comparison_summary
from trainers.comparison import table as comparison_table
from trainers.reporting import page as report_page
from trainers.reporting import plots as report_plots


def page(value: dict[str, Any]) -> str:
  """The page of a comparison.

  Args:
    value: of `comparison.json`.

  Returns:
    HTML.
  """
  recipe = value["recipe"]
  sections = [
      _methods(value),
      _equal_macs(value),
      _rates(value),
      *(_table(*part) for part in comparison_table.tables(value)),
      report_page.section(
          "Recipe",
          f"{len(value['cells'])} runs. Written by: "
          f"{' '.join(value['command'])}",
          report_page.settings(recipe),
      ),
  ]
  return report_page.page(
      f"Comparison of {recipe['network']} on {recipe['dataset']}", sections
  )


def _table(title, text, header, rows):
  return report_page.section(title, text, report_page.table(header, rows))


def _point(entry):
  return {
      "macs": entry["macs_share"]["mean"],
      "macs_std": entry["macs_share"]["std"],
      "accuracy": entry["accuracy"]["mean"],
      "accuracy_std": entry["accuracy"]["std"],
  }


def methods_plot(value: dict[str, Any], *, standalone: bool = False) -> str:
  """Accuracy against multiply-adds of each method, under MAP and pruned.

  Args:
    value: of `comparison.json`.
    standalone: as in `plots.svg`.

  Returns:
    An `<svg>` element.
  """
  series, ungated = collections.defaultdict(list), None
  pruned = []
  for row in value["rows"]:
    strategies = row["strategies"]
    if row["method"] == "ungated":
      ungated = _point(strategies["always_open"])
      continue
    name = comparison_summary.own_strategy(row["target_rate"], strategies)
    series[row["method"]].append(_point(strategies[name]))
    if row["target_rate"] is not None:
      pruned.append(_point(strategies["prune:0.5"]))
  named = [
      (name, sorted(points, key=lambda point: point["macs"]))
      for name, points in series.items()
  ]
  return report_plots.svg(
      report_plots.accuracy_against_macs,
      named,
      pruned=pruned,
      ungated=ungated,
      order=_methods_of(value),
      label="Accuracy against executed multiply-adds, by method",
      standalone=standalone,
  )


def _methods(value):
  return report_page.section(
      "Methods",
      "Learned gates under MAP, one point a target; stochastic depth with all "
      "blocks (expected). Bars are standard deviations over seeds. Pruned: the "
      "blocks open for less than half of the validation data dropped.",
      methods_plot(value),
  )


def _methods_of(value):
  methods = dict.fromkeys(row["method"] for row in value["rows"])
  return [method for method in methods if method != "ungated"]


def _equal_macs(value):
  curves = collections.defaultdict(list)
  for entry in value["equal_macs"]:
    for method, accuracy in entry["accuracy"].items():
      curves[method].append(
          {
              "macs": entry["macs_share"],
              "accuracy": accuracy["mean"],
              "accuracy_std": accuracy["std"],
          }
      )
  plot = report_plots.svg(
      report_plots.accuracy_against_macs,
      list(curves.items()),
      order=list(dict.fromkeys([*_methods_of(value), *curves])),
      label="Accuracy at equal executed multiply-adds, by method",
  )
  return report_page.section(
      "At equal multiply-adds",
      "Along thresholds and targets: each seed's curve is interpolated, and "
      "the network is chosen by its accuracy on validation data.",
      plot,
  )


def _rates(value):
  """Open rates when sampled, a row for each method and target."""
  groups = collections.defaultdict(list)
  for trial in value["cells"]:
    if trial["target_rate"] is not None:
      key = f"{trial['method']} {trial['target_rate']:g}"
      rates = trial["strategies"]["sampled"]["gate_open_rates"]
      groups[key].append(rates)
  plot = report_plots.svg(
      report_plots.open_rates,
      [np.mean(rates, axis=0) for rates in groups.values()],
      rows=list(groups),
      columns=value["blocks"],
      label="Open rate of each gate, by method and target",
  )
  return report_page.section(
      "Open rates",
      "Sampled, on the test split, in %; means over seeds.",
      plot,
  )
