"""Draws accuracy against time of trained networks, from a benchmark's JSON.

    python -m benchmarks.gated_runs_plot \
        benchmarks/results/gated_cluttered_digits.json docs/images/gated.svg
"""

from absl import app
import numpy as np

from benchmarks import drawing

# What is far less accurate, all gates open, would hide how the others differ.
# Of Okabe and Ito, told apart by the colour-blind; and a marker each.
_STYLES = {
    "ungated": {"label": "without gates", "color": "#000000", "marker": "*"},
    "masked": {"label": "times 0", "color": "#D55E00", "marker": "s"},
    "dynamic": {"label": "dynamic", "color": "#0072B2", "marker": "o"},
    "auto": {"label": "auto (default)", "color": "#009E73", "marker": "D"},
    "fixed": {"label": "fixed", "color": "#CC79A7", "marker": "^"},
}
_PANELS = {
    "SavedModel, batch 1": ("served", "saved_model", 1),
    "SavedModel, batch 8": ("served", "saved_model", 8),
    "TF-Lite": ("tflite", "tflite", 1),
}


def points(seeds, engine, format, batch_size):
  """Times and accuracies of each network, one pair a seed.

  Args:
    seeds: of the JSON.
    engine: `served` or `tflite`.
    format: `saved_model` or `tflite`.
    batch_size: of the rows to take.

  Returns:
    name -> list of (time by the ungated network's, accuracy in %).
  """
  found = {name: [] for name in _STYLES}
  for seed in seeds:
    for row in seed["rows"]:
      if row["batch_size"] == batch_size:
        for name, pairs in found.items():
          accuracy = row["networks"][format][name]["accuracy"]
          pairs.append((row[engine][name]["ratio"], 100 * accuracy))
  return found


def draw(result):
  """A figure of a panel for each way to run the networks.

  Args:
    result: the parsed JSON.

  Returns:
    A matplotlib figure: small markers are seeds, large ones their means.
  """
  figure, axes = drawing.panels(len(_PANELS), width=3.2)
  for axis, (title, which) in zip(axes, _PANELS.items(), strict=True):
    for name, pairs in points(result["seeds"], *which).items():
      style = {**_STYLES[name], "linestyle": "none"}
      label = style.pop("label")
      axis.plot(*zip(*pairs, strict=True), markersize=4, alpha=0.35, **style)
      mean = np.mean(pairs, axis=0)
      axis.plot(*mean, markersize=9, label=label, **style)
    axis.set_title(title)
    axis.set_xlabel("time / network without gates")
    axis.grid(alpha=0.3)
  axes[0].set_ylabel("accuracy, %")
  axes[0].legend(fontsize="small")
  recipe = result["recipe"]
  figure.suptitle(
      f"{recipe['network']} on {recipe['dataset']}, "
      f"{len(result['seeds'])} seeds"
  )
  return figure


def main(argv):
  drawing.write(argv, draw, salt="gated")


if __name__ == "__main__":
  app.run(main)
