"""What a report shows of a run's exports: how much time they take, and why."""

from typing import Any

from matplotlib import figure as figure_lib
from matplotlib import patches
from matplotlib import ticker
import numpy as np

from trainers.reporting import page as report_page
from trainers.reporting import plots as report_plots

# What people call them.
FORMATS = {"saved_model": "SavedModel", "tflite": "TF-Lite"}
_COLUMNS = ["file", "accuracy", "MACs", "time", "file size"]
# How a block of an export is drawn.
_KINDS = {
    "removed": {"facecolor": "none", "linestyle": ":"},
    "open": {"facecolor": report_plots.COLORS["blue"]},
    "deciding": {"facecolor": report_plots.COLORS["orange"]},
}


def sections(exported: dict[str, Any]) -> list[str]:
  """The sections on exports.

  Args:
    exported: an `export.json`.

  Returns:
    List of HTML: a table, with a plot of the times where they were measured,
    and a picture of the blocks where gates were chosen.
  """
  references = _references(exported)
  rows = [*references, *exported["variants"]]
  rows = sorted(rows, key=lambda row: list(FORMATS).index(row["format"]))
  first = _label(references[0]["gating"]) if references else ""
  limits = exported.get("limits", {})
  bodies = [report_page.table(_COLUMNS, [_cells(row) for row in rows])]
  timed = [row for row in rows if "time_ratio" in row]
  if timed:
    plot = report_plots.svg(
        time_ratios,
        [(_name(row), row["time_ratio"]) for row in timed],
        [_share(row, references) for row in timed],
        [_limit(row, limits) for row in timed],
        reference=first,
        label=f"Time of each exported file by that of `{first}`",
    )
    bodies.insert(0, plot)
  found = [
      report_page.section(
          "Exported files",
          _explained(references, limits),
          *bodies,
      )
  ]
  chosen = {
      row["format"]: row["auto"]
      for row in exported["variants"]
      if row.get("auto", {}).get("table")
  }
  if chosen:
    found.append(_blocks(chosen))
  return found


def _blocks(chosen):
  networks = [(FORMATS[format], auto) for format, auto in chosen.items()]
  plot = report_plots.svg(
      blocks,
      networks,
      label="What has become of each block in the automatic export",
  )
  return report_page.section(
      "What became of each gate",
      "With automatic gating, from the first block on. Below a deciding gate: "
      "how often it opens, and what its branch and the gate cost, as measured "
      "at export.",
      plot,
  )


def _name(row):
  parts = [FORMATS[row["format"]], _label(row["gating"])]
  if row["quantization"] != "none":
    parts.append(row["quantization"])
  return " ".join(parts)


def _label(gating):
  return gating.replace("_", " ")


def _references(exported):
  """Rows of the networks without gates that files are compared with."""
  if "references" in exported:
    return exported["references"]
  # Older exports called the gated network with open gates ungated.
  return [{**row, "gating": "all_open"} for row in exported.get("ungated", ())]


def _explained(references, limits):
  names = [row["gating"] for row in references]
  parts = ["Accuracy on the checked examples."]
  if "ungated" in names:
    parts.append("Ungated: the network that was trained without gates.")
  if names:
    parts.append(
        "All open: the gated network with every gate open for good, for which "
        f"it was not trained. Time: of that of `{_label(names[0])}` in the "
        "same format, in one run on the machine that exported; a SavedModel in "
        "a session, as a server runs it. The upright mark is where a file "
        "would be in proportion to its multiply-adds."
    )
  if limits:
    parts.append(
        "The diamond is the limit that was measured: no gates, and no blocks "
        "that most validation images close."
    )
  return " ".join(parts)


def _share(row, references):
  """Its multiply-adds by those of the first reference; None if it is one."""
  if not references or row in references:
    return None
  return row["macs"] / references[0]["macs"]


def _limit(row, limits):
  """The limit of files like it; None of references and quantized files."""
  is_gated = row["gating"] not in ("ungated", "all_open")
  if not is_gated or row["quantization"] != "none":
    return None
  return limits.get(row["format"])


def _cells(row):
  ratio = row.get("time_ratio")
  return [
      _name(row),
      f"{100 * row['accuracy']:.2f} %",
      f"{row['macs']:,.0f}",
      "" if ratio is None else f"{ratio:.2f}",
      f"{row['bytes'] / 1000:,.0f} kB",
  ]


def time_ratios(
    ratios: list[tuple[str, float]],
    shares: list[float | None],
    limits: list[float | None],
    *,
    reference: str,
) -> figure_lib.Figure:
  """Bars of times, with what each would take at best.

  Args:
    ratios: list of `(name, time by that of the reference)`.
    shares: multiply-adds by those of the reference, or None, of each.
    limits: measured times without the blocks that are mostly closed, by that
      of the reference, or None, of each.
    reference: what the reference is called.

  Returns:
    A figure.
  """
  names, values = zip(*ratios, strict=True)
  figure, axis = report_plots.new_figure(7.2, 1.2 + 0.32 * len(names))
  places = np.arange(len(names))
  axis.barh(
      places, values, color=[_color(*pair) for pair in ratios], height=0.7
  )
  for place, value, *marks in zip(places, values, shares, limits, strict=True):
    # Behind the marks, too.
    end = max(value, *(mark or 0 for mark in marks)) + 0.015
    axis.text(end, place, f"{value:.2f}", va="center", fontsize=8)
  _mark(
      *(axis, shares, "share of the MACs"),
      marker="|",
      color=report_plots.INK,
      markeredgewidth=2,
      markersize=12,
  )
  _mark(
      *(axis, limits, "limit: blocks removed"),
      marker="D",
      color=report_plots.COLORS["orange"],
      markeredgecolor=report_plots.INK,
      markersize=6,
  )
  if axis.get_legend_handles_labels()[0]:
    figure.legend(fontsize=8, loc="outside upper right", ncols=2)
  axis.axvline(1, color=report_plots.INK, linestyle="--", linewidth=0.8)
  axis.set_yticks(places, names)
  axis.invert_yaxis()
  axis.set_xlim(0, max(1, *values) * 1.15)
  axis.set_xlabel(f"time, by that of `{reference}`")
  axis.grid(axis="x")
  return figure


def _color(name, value):
  if name.endswith(("ungated", "all open")):
    return "#8a8f98"
  return report_plots.COLORS["blue" if value < 1 else "vermilion"]


def _mark(axis, values, label, **style):
  """Marks on the bars that have a value."""
  marks = [(v, i) for i, v in enumerate(values) if v is not None]
  if marks:
    axis.plot(*zip(*marks, strict=True), linestyle="", label=label, **style)


def blocks(networks: list[tuple[str, dict[str, Any]]]) -> figure_lib.Figure:
  """The blocks of networks in a row each: removed, always open, or deciding.

  Args:
    networks: list of `(name, auto)`, the latter as in `export.json`: its
      `table` has `name`, `decision`, `open_rate`, and the costs of `branch` and
      `gate` for each block, in its `unit`.

  Returns:
    A figure.
  """
  width = max(len(auto["table"]) for _, auto in networks)
  figure, axis = report_plots.new_figure(
      min(11, 1.8 + 0.95 * width), 0.7 + 1.6 * len(networks)
  )
  for line, (_, auto) in enumerate(networks):
    for i, row in enumerate(auto["table"]):
      _draw_block(axis, i, line, row, auto["unit"])
  axis.set_xlim(-0.6, width - 0.4)
  axis.set_ylim(len(networks) - 0.2, -0.5)
  axis.xaxis.set_major_locator(ticker.NullLocator())
  axis.set_yticks(range(len(networks)), [name for name, _ in networks])
  for side in axis.spines.values():
    side.set_visible(False)
  handles = [
      patches.Patch(
          edgecolor=report_plots.INK,
          label="always open" if kind == "open" else kind,
          **style,
      )
      for kind, style in _KINDS.items()
  ]
  figure.legend(handles=handles, fontsize=8, loc="outside upper right", ncols=3)
  return figure


def _draw_block(axis, column, line, row, unit):
  kind = row["decision"]
  axis.add_patch(
      patches.Rectangle(
          (column - 0.4, line - 0.25),
          *(0.8, 0.5),
          edgecolor=report_plots.INK,
          **_KINDS[kind],
      )
  )
  text = {"ha": "center", "fontsize": 6.5}
  axis.text(column, line - 0.3, row["name"].replace("_", "\n"), **text)
  if kind == "deciding":
    below = (
        f"{100 * row['open_rate']:.0f} % open\n"
        f"branch {row['branch']:,.0f} {unit}\n"
        f"gate {row['gate']:,.0f} {unit}"
    )
    axis.text(column, line + 0.3, below, va="top", **text)
