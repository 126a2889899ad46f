"""What a report shows of the acceleration that a run is of."""

from typing import Any

from matplotlib import figure as figure_lib

from trainers.reporting import exports
from trainers.reporting import page as report_page
from trainers.reporting import plots as report_plots

# What is relied on of an `accelerated.json`.
SHAPE = {
    "lowest_accuracy": float,
    "rows": [
        {
            "network": str,
            "format": str,
            "validation_accuracy": float,
            "accuracy": float,
            "macs": float,
            "bytes": int,
            "times": {str: float},
            "chosen": bool,
        }
    ],
}
_STYLES = {
    "saved_model": (report_plots.COLORS["blue"], "o"),
    "tflite": (report_plots.COLORS["orange"], "s"),
}


def section(value: dict[str, Any]) -> str:
  """The section on what was tried.

  Args:
    value: an `accelerated.json`.

  Returns:
    HTML: a plot of all files, and a table.
  """
  rows = value["rows"]
  given = _given(rows)
  plot = report_plots.svg(
      tried,
      rows,
      lowest_accuracy=value["lowest_accuracy"],
      label="Accuracy of all networks that were tried, over time and over "
      "multiply-adds",
  )
  sizes = sorted({size for row in rows for size in row["times"]}, key=int)
  header = ["file", "validation", "test", "MACs"]
  header += [f"time, batch {size}" for size in sizes] + ["file size", ""]
  cells = [
      [
          f"{exports.FORMATS[row['format']]} {row['network']}",
          f"{100 * row['validation_accuracy']:.2f} %",
          f"{100 * row['accuracy']:.2f} %",
          f"{100 * row['macs'] / given[row['format']]['macs']:.1f} %",
          *(_ratio(row["times"].get(size)) for size in sizes),
          f"{row['bytes'] / 1000:,.0f} kB",
          "chosen" if row["chosen"] else "",
      ]
      for row in rows
  ]
  return report_page.section(
      "Networks that were tried",
      "The given network, and the same with gates trained towards each target "
      "rate, as exported. Time and multiply-adds are by those of the given "
      "network in the same format. The line is the lowest accuracy on "
      "validation images that may be chosen; chosen is the fastest above it, "
      "one image at a time.",
      plot,
      report_page.table(header, cells),
  )


def _given(rows):
  """The row of the given network, by format: the first of each."""
  return {row["format"]: row for row in reversed(rows)}


def _ratio(value):
  return "" if value is None else f"{value:.2f}"


def tried(
    rows: list[dict[str, Any]], *, lowest_accuracy: float
) -> figure_lib.Figure:
  """Accuracy on validation data over time, and over multiply-adds.

  Args:
    rows: of an `accelerated.json`.
    lowest_accuracy: a share.

  Returns:
    A figure of two panels. A ring is around what was chosen, a star is the
    given network.
  """
  figure = figure_lib.Figure(figsize=(9.0, 3.8), layout="constrained")
  given = _given(rows)
  panels = {
      "time of one image, by the given network's": lambda row: row["times"][
          "1"
      ],
      "multiply-adds, by the given network's": lambda row: (
          row["macs"] / given[row["format"]]["macs"]
      ),
  }
  axes = figure.subplots(1, len(panels), sharey=True)
  for axis, (label, value_of) in zip(axes, panels.items(), strict=True):
    for row in rows:
      _draw(axis, value_of(row), row, is_given=row is given[row["format"]])
    axis.axhline(
        100 * lowest_accuracy,
        color=report_plots.INK,
        linestyle="--",
        linewidth=0.8,
    )
    axis.set_xlabel(label)
    axis.margins(0.15)
    axis.grid()
  axes[0].set_ylabel("validation accuracy, %")
  handles = [
      axes[0].plot([], [], marker, color=color, label=exports.FORMATS[name])[0]
      for name, (color, marker) in _STYLES.items()
  ]
  figure.legend(handles=handles, fontsize=8, loc="outside upper right", ncols=2)
  return figure


def _draw(axis, place, row, *, is_given):
  color, marker = _STYLES[row["format"]]
  height = 100 * row["validation_accuracy"]
  size = 13 if is_given else 7
  axis.plot(place, height, "*" if is_given else marker, color=color, ms=size)
  if row["chosen"]:
    axis.plot(place, height, "o", mfc="none", color=report_plots.INK, ms=16)
  axis.annotate(
      row["network"],
      (place, height),
      # Above and below, for networks of both formats often lie together.
      xytext=(0, 10 if marker == "o" else -16),
      textcoords="offset points",
      ha="center",
      fontsize=7,
  )
