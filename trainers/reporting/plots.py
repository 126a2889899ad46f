"""The plots of a report, as SVG that takes its colours from the page."""

import html
import io

import matplotlib
from matplotlib import figure as figure_lib
from matplotlib import ticker
import numpy as np

# What stands for the page's own colour in a figure.
INK = "#010203"
# By Okabe and Ito, told apart by the colour-blind; the page names them.
COLORS = {
    "blue": "#0072b2",
    "orange": "#e69f00",
    "green": "#009e73",
    "vermilion": "#d55e00",
    "purple": "#cc79a7",
    "sky": "#56b4e9",
}
# Beside colours, for print; one more, so that no two of many are alike.
_MARKERS = "osD^vP<"
_MAP = "cividis"  # Even to the colour-blind, and rising in grey.
_STYLE = {
    **dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "grid.color"], INK
    ),
    **dict.fromkeys(["xtick.color", "ytick.color", "legend.edgecolor"], INK),
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.facecolor": "none",
    "legend.framealpha": 1.0,
    "grid.alpha": 0.25,
    "font.size": 10.0,
    "svg.fonttype": "none",  # Text, which can be searched and read out.
    "svg.hashsalt": "pgates",  # The same file each time.
}


def svg(draw, *arguments, label, standalone=False, **options):
  """Draws a figure as SVG.

  Args:
    draw: one of the functions below.
    *arguments: of it.
    label: what it shows, for those who cannot see it.
    standalone: whether it is a file of its own, on white; else it stands in a
      page, and its colours are `currentColor` and `var(--NAME)` for the names
      of `COLORS`.
    **options: of it.

  Returns:
    An `<svg>` element.
  """
  with matplotlib.rc_context(_STYLE):
    figure = draw(*arguments, **options)
    stream = io.StringIO()
    ground = "white" if standalone else "none"
    figure.savefig(
        stream, format="svg", metadata={"Date": None}, facecolor=ground
    )
  text = stream.getvalue()
  text = text[text.index("<svg") :]
  if not standalone:
    text = text.replace(INK, "currentColor")
    for name, color in COLORS.items():
      text = text.replace(color, f"var(--{name})")
  label = html.escape(label)
  return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def new_figure(width, height):
  """A figure of so many inches, and its axes."""
  figure = figure_lib.Figure(figsize=(width, height), layout="constrained")
  return figure, figure.subplots()


def _style(index):
  color = list(COLORS.values())[index % len(COLORS)]
  return {"color": color, "marker": _MARKERS[index % len(_MARKERS)]}


def pareto_front(points):
  """Those points that none beats in both accuracy and multiply-adds.

  Args:
    points: list of `(macs, accuracy, ...)`.

  Returns:
    The points that are not dominated, by rising macs.
  """
  front = []
  for point in sorted(points, key=lambda point: (point[0], -point[1])):
    if not front or point[1] > front[-1][1]:
      front.append(point)
  return front


def accuracy_against_macs(
    series, *, pruned=(), curve=(), ungated=None, order=None
):
  """Accuracy against executed multiply-adds.

  Args:
    series: list of `(label, points)`; points are dicts of `macs` (share of the
      dense ones), `accuracy`, and maybe `macs_std` and `accuracy_std`.
    pruned: list of points of pruned networks.
    curve: list of points along thresholds, drawn as a line.
    ungated: a point, drawn as a star with a line at its accuracy.
    order: labels that look the same in several plots; default: those of this.

  Returns:
    A figure.
  """
  figure, axis = new_figure(9.0, 4.6)
  points = [point for _, of_series in series for point in of_series]
  points += [*pruned, *filter(None, [ungated])]
  order = order or [label for label, _ in series]
  for label, of_series in series:
    style = _style(order.index(label))
    _errorbar(axis, of_series, label=label, linewidth=1, **style)
  if pruned:
    _errorbar(axis, pruned, label="pruned", fmt="x", color=INK)
  if ungated is not None:
    _errorbar(
        axis,
        [ungated],
        label="ungated network",
        fmt="*",
        markersize=12,
        color=INK,
    )
    height = 100 * ungated["accuracy"]
    axis.axhline(height, color=INK, linewidth=0.8, linestyle="--", alpha=0.5)
  if curve:
    ordered = sorted(curve, key=lambda point: point["macs"])
    axis.plot(*_percent(ordered), ":", color=INK, label="thresholds 0 to 1")
  front = pareto_front([(p["macs"], p["accuracy"]) for p in points])
  front = [{"macs": macs, "accuracy": accuracy} for macs, accuracy in front]
  axis.plot(
      *_percent(front),
      color=INK,
      linewidth=5,
      alpha=0.2,
      label="Pareto front",
      zorder=0,
  )
  # Thresholds at which hardly a block runs would flatten all the rest.
  widths, heights = _percent(points)
  axis.set_xlim(_limits(widths))
  axis.set_ylim(_limits(heights))
  axis.set_xlabel("executed multiply-adds, % of the ungated network's")
  axis.set_ylabel("accuracy, %")
  axis.grid()
  figure.legend(fontsize=8, loc="outside right upper")
  return figure


def _limits(values):
  span = max(values) - min(values)
  return min(values) - max(1.0, 0.25 * span), max(values) + max(0.5, 0.1 * span)


def _percent(points):
  return [[100 * p[name] for p in points] for name in ("macs", "accuracy")]


def _errorbar(axis, points, **style):
  def deviations(name):
    values = [100 * (point.get(name) or 0) for point in points]
    return values if any(values) else None

  axis.errorbar(
      *_percent(points),
      xerr=deviations("macs_std"),
      yerr=deviations("accuracy_std"),
      capsize=2,
      **style,
  )


def open_rates(values, *, rows, columns, row_label="", column_label=""):
  """A heat map of open rates.

  Args:
    values: [rows, columns]; NaN where there is nothing.
    rows: names, from the top.
    columns: names.
    row_label: what the rows are.
    column_label: what the columns are.

  Returns:
    A figure.
  """
  count, width = np.shape(values)
  figure, axis = new_figure(
      min(9, 2.5 + 0.45 * width), min(14, 1.4 + 0.3 * count)
  )
  image = axis.imshow(
      100 * np.asarray(values),
      vmin=0,
      vmax=100,
      cmap=_MAP,
      aspect="auto",
      interpolation="nearest",
  )
  for place, names in ((axis.xaxis, columns), (axis.yaxis, rows)):
    # All names where there is room; else every so many.
    step = max(1, -(-len(names) // 40))
    place.set_major_locator(ticker.FixedLocator(range(0, len(names), step)))
    place.set_major_formatter(ticker.FixedFormatter(names[::step]))
  axis.tick_params(axis="x", rotation=90)
  if count * width <= 200:
    for (row, column), value in np.ndenumerate(values):
      if np.isfinite(value):
        color = "white" if value < 0.5 else "black"
        axis.text(
            *(column, row, f"{100 * value:.0f}"),
            **{"ha": "center", "va": "center", "fontsize": 8, "color": color},
        )
  axis.set_xlabel(column_label)
  axis.set_ylabel(row_label)
  bar = figure.colorbar(image, ax=axis, label="open rate, %")
  bar.outline.set_edgecolor(INK)
  return figure


def macs_of_examples(shares):
  """How the executed multiply-adds are distributed over examples.

  Args:
    shares: of the dense multiply-adds, one an example.

  Returns:
    A figure.
  """
  figure, axis = new_figure(7.2, 2.6)
  axis.hist(
      100 * np.asarray(shares), bins=40, color=COLORS["blue"], edgecolor="none"
  )
  mean = 100 * float(np.mean(shares))
  axis.axvline(mean, color=INK, linestyle="--", label=f"mean {mean:.1f} %")
  axis.set_xlabel("executed multiply-adds, % of the dense ones")
  axis.set_ylabel("examples")
  axis.legend(fontsize=8)
  axis.grid(axis="y")
  return figure
