"""The report of one run."""

import dataclasses
from typing import Any

import pgates
from trainers.reporting import acceleration
from trainers.reporting import exports
from trainers.reporting import measurements as report_measurements
from trainers.reporting import page as report_page
from trainers.reporting import plots as report_plots

_COLUMNS = ["strategy", "accuracy", "+-", "top-5", "open rate", "MACs"]
_COLUMNS += ["MACs %", "patterns"]


@dataclasses.dataclass(frozen=True)
class Run:
  """What the folder of a run holds.

  Args:
    name: of the folder.
    settings: of its `config.json`.
    evaluation: its `evaluation.json`.
    history: the lines of its `history.jsonl`.
    classes: names of the classes of its data set.
    acceleration: `accelerated.json` of what it is a run of, or None.
  """

  name: str
  settings: dict[str, Any]
  evaluation: dict[str, Any]
  history: list[dict[str, Any]]
  classes: list[str]
  acceleration: dict[str, Any] | None = None


def page(
    run: Run,
    *,
    decisions: report_measurements.Decisions | None,
    ungated: dict[str, Any] | None = None,
    exported: dict[str, Any] | None = None,
) -> str:
  """The page of a run.

  Args:
    run: what its folder holds.
    decisions: of its network; None without gates.
    ungated: `evaluation.json` of an ungated network, or None.
    exported: `export.json` of its exports, or None.

  Returns:
    HTML.
  """
  settings, evaluation = run.settings, run.evaluation
  dense = (ungated or evaluation)["dense_macs"]
  sections = []
  if run.acceleration is not None:
    sections.append(acceleration.section(run.acceleration))
  if exported is not None:
    sections += exports.sections(exported)
  sections.append(_accuracy(evaluation, dense, ungated))
  if decisions is not None:
    sections += _gates(run, decisions, dense)
  else:
    sections.append(
        report_page.section("Gates", "This network has no gates to look at.")
    )
  sections.append(
      report_page.section(
          "Configuration",
          "What the run can be made again with.",
          report_page.settings(settings),
      )
  )
  return report_page.page(
      f"{settings['network']} on {settings['dataset']}: {run.name}", sections
  )


def _point(result, dense):
  return {
      "macs": result["macs"] / dense,
      "accuracy": result["accuracy"],
      "accuracy_std": result.get("accuracy_std"),
  }


def _accuracy(evaluation, dense, ungated):
  results = evaluation["strategies"]
  pruned, series = [], []
  for name, result in results.items():
    strategy = pgates.parse_strategy(name)
    if strategy.is_fixed:
      pruned.append(_point(result, dense))
    elif strategy.num_passes == 1:
      # An ensemble's passes would leave the others no room.
      series.append((name, [_point(result, dense)]))
  curve = [
      _point(point, dense)
      for point in evaluation.get("threshold_curves", {}).get("test", ())
  ]
  reference = None
  if ungated is not None:
    always_open = ungated["strategies"]["always_open"]
    reference = _point(always_open, dense)
  plot = report_plots.svg(
      report_plots.accuracy_against_macs,
      series,
      pruned=pruned,
      curve=curve,
      ungated=reference,
      label="Accuracy against executed multiply-adds, by strategy",
  )
  rows = [_row(name, result, dense) for name, result in results.items()]
  if ungated is not None:
    rows.insert(0, _row("(ungated network)", always_open, dense))
  text = (
      f"{evaluation['examples']:,} examples of {evaluation['split']} of "
      f"{evaluation['dataset']}. MACs are multiply-adds per example, gates "
      f"included, in % of {dense:,}; +- is the standard deviation over seeds "
      "of the noise. An ensemble, which counts every pass, is in the table "
      "alone."
  )
  return report_page.section(
      "Strategies", text, plot, report_page.table(_COLUMNS, rows)
  )


def _row(name, result, dense):
  deviation = result.get("accuracy_std")
  return [
      name,
      f"{100 * result['accuracy']:.2f} %",
      "" if deviation is None else f"{100 * deviation:.2f}",
      f"{100 * result['top5_accuracy']:.2f} %",
      f"{result['open_rate']:.3f}",
      f"{result['macs']:,.0f}",
      f"{100 * result['macs'] / dense:.1f}",
      f"{result['gate_patterns']:.0f}",
  ]


def _gates(run, decisions, dense):
  names = [gate["name"] for gate in run.evaluation["gates"]]

  def shown(indices):
    return report_page.examples(decisions, indices, run.classes, dense)

  return [
      report_page.section(
          "Open rates over training",
          "Sampled, on training images, in %.",
          _rates_over_training(run.history, names),
      ),
      report_page.section(
          "Open rates by class",
          "At the end, under MAP, on the evaluated split, in %.",
          _rates_by_class(decisions, run.classes, names),
      ),
      report_page.section(
          "Multiply-adds by example",
          f"Under MAP. The gates form {decisions.num_patterns} different "
          "patterns.",
          report_plots.svg(
              report_plots.macs_of_examples,
              decisions.macs / dense,
              label="Distribution of executed multiply-adds over examples",
          ),
      ),
      report_page.section(
          "The cheapest examples",
          "A filled square is an open gate, from the first block on. Of those "
          "that execute the same, the surest come first.",
          shown(decisions.cheapest),
      ),
      report_page.section(
          "The most expensive examples", "", shown(decisions.most_expensive)
      ),
  ]


def _rates_over_training(history, names):
  return report_plots.svg(
      report_plots.open_rates,
      list(zip(*(line["gate_open_rates"] for line in history), strict=True)),
      rows=names,
      columns=[str(line["epoch"]) for line in history],
      column_label="epoch",
      label="Open rate of each gate over the epochs of training",
  )


def _rates_by_class(decisions, classes, names):
  return report_plots.svg(
      report_plots.open_rates,
      pgates.class_open_rates(decisions.gates, decisions.labels, len(classes)),
      rows=classes,
      columns=names,
      row_label="class",
      label="Open rate of each gate on each class",
  )
