"""Draws latency against executed multiply-adds, from a benchmark's JSON.

    python -m benchmarks.latency_plot \
        benchmarks/results/latency.json docs/images/latency.svg
"""

from absl import app

from benchmarks import drawing

# Of Okabe and Ito, told apart by the colour-blind; and a marker each.
_STYLES = {
    "dynamic": {"label": "dynamic (ours)", "color": "#0072B2", "marker": "o"},
    "masked": {"label": "masked", "color": "#D55E00", "marker": "s"},
    "removed": {
        "label": "same blocks removed (limit)",
        "color": "#009E73",
        "marker": "^",
        "linestyle": "--",
    },
}
_ENGINES = {"served": "SavedModel", "tflite": "TF-Lite"}


def series(rows, engine, batch_size):
  """The points of each candidate.

  Args:
    rows: of the JSON.
    engine: `served` or `tflite`.
    batch_size: of the rows to take.

  Returns:
    name -> list of (executed share of MACs, time by that of the reference), by
    rising share; without candidates that were not measured.
  """
  found = {name: [] for name in _STYLES}
  for row in rows:
    if row["batch_size"] != batch_size or engine not in row:
      continue
    for name, points in found.items():
      if name in row[engine]:
        share = row["executed_share_of_macs"]
        points.append((share, row[engine][name]["ratio"]))
  return {name: sorted(points) for name, points in found.items() if points}


def draw(result):
  """A figure of one panel for each engine and batch size.

  Args:
    result: the parsed JSON.

  Returns:
    A matplotlib figure.
  """
  rows = result["rows"]
  panels = [
      (engine, batch_size)
      for batch_size in sorted({row["batch_size"] for row in rows})
      for engine in _ENGINES
      if series(rows, engine, batch_size)
  ]
  figure, axes = drawing.panels(len(panels), width=3.2)
  for axis, (engine, batch_size) in zip(axes, panels, strict=True):
    for name, points in series(rows, engine, batch_size).items():
      axis.plot(*zip(*points, strict=True), **_STYLES[name])
    axis.plot([0, 1], [0, 1], ":", color="gray", label="time = MACs")
    axis.set_title(f"{_ENGINES[engine]}, batch {batch_size}")
    axis.set_xlabel("executed share of MACs")
    axis.set_xlim(0, 1.05)
    axis.grid(alpha=0.3)
  axes[0].set_ylim(bottom=0)  # All share it, and so after all are drawn.
  reference = result["reference"].replace("_", " ")
  axes[0].set_ylabel(f"time / {reference} network")
  axes[0].legend(fontsize="small")
  shape = "x".join(map(str, result["image_shape"][:2]))
  figure.suptitle(
      f"{result['network']} at {shape}, {result['weights']} weights, "
      f"{result['threads']} threads"
  )
  return figure


def main(argv):
  drawing.write(argv, draw, salt="latency")


if __name__ == "__main__":
  app.run(main)
