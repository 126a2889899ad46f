"""What the programs that draw a benchmark's JSON have in common."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

from absl import app
import matplotlib
from matplotlib import figure as figure_lib

from file_io import artifacts


def panels(
    count: int, *, width: float
) -> tuple[figure_lib.Figure, Sequence[Any]]:
  """A figure of some panels side by side, which share their vertical axis.

  Args:
    count: of the panels.
    width: of a panel, in inches.

  Returns:
    The figure, and its axes.
  """
  # Not of pyplot, which looks for a display.
  figure = figure_lib.Figure(figsize=(width * count, 3.4), layout="constrained")
  return figure, figure.subplots(1, count, sharey=True, squeeze=False)[0]


def write(
    argv: Sequence[str],
    draw: Callable[[dict[str, Any]], figure_lib.Figure],
    *,
    salt: str,
) -> None:
  """Draws the JSON that a command line names into the image that it names.

  Args:
    argv: of the program.
    draw: parsed JSON -> figure.
    salt: of the ids in an SVG, so that it is the same file each time.

  Raises:
    app.UsageError: if there are not two names.
  """
  if len(argv) != 3:
    raise app.UsageError("Name the JSON to read and the image to write.")
  result = artifacts.read_json(argv[1])
  matplotlib.rcParams["svg.hashsalt"] = salt
  with artifacts.replacing(argv[2]) as output:
    draw(result).savefig(output, metadata={"Date": None}, facecolor="white")
