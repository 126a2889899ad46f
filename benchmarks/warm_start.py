"""Recipes of a warm start, tried one at a time on trained networks.

    python -m benchmarks.warm_start --comparison=runs/compare --output=FILE

Of each seed of a comparison (`trainers.compare`), gates on the plain network of
`--reference` are trained by the recipe that the search began with, by those
that differ from it in one setting, and by the one that was chosen: the preset
`warm_start`, taught by the network itself. What is written are figures of
validation images under MAP after the last epoch. Each run is written as it
comes; the same command goes on where it was stopped.
"""

import itertools
import pathlib
import sys

from absl import app
from absl import flags

from benchmarks import environment
from benchmarks import unfinished
from benchmarks import warm_recipes
from file_io import artifacts
from file_io import endings
from file_io import path_flags
from trainers import children

_COMPARISON = path_flags.define(
    "comparison", None, "Folder of trainers.compare", required=True
)
_REFERENCE = flags.DEFINE_string(
    "reference", "ungated_longer", "Folder of the runs without gates in it"
)
_OUTPUT = path_flags.define("output", None, "JSON to write", required=True)
_LENGTHS = flags.DEFINE_list(
    "lengths", ["2", "5", "12"], "Epochs of fine-tuning"
)
_TARGET = flags.DEFINE_float("target", 0.4, "Of the multiply-adds of gates")
_JOBS = flags.DEFINE_integer("jobs", 1, "Runs at once", lower_bound=1)


def main(argv):
  del argv
  folder = pathlib.Path(_COMPARISON.value).expanduser() / _REFERENCE.value
  sources = sorted(path.parent for path in folder.glob("seed*/model.keras"))
  if not sources:
    sys.exit(
        f"benchmarks.warm_start: {folder} holds no finished runs. Make them "
        f"with `python -m trainers.compare --workdir={folder.parent} "
        f"--methods=ungated,{_REFERENCE.value}`."
    )
  lengths = [int(number) for number in _LENGTHS.value]
  description = {
      "reference": _REFERENCE.value,
      "target": _TARGET.value,
      "recipe": artifacts.read_json(folder.parent / "recipe.json"),
      **environment.describe(None),
  }
  output = pathlib.Path(_OUTPUT.value)
  rows = unfinished.rows(output, description)
  # What matters first.
  first = (warm_recipes.START, warm_recipes.CHOSEN)
  trials = sorted(
      itertools.product(sources, lengths, warm_recipes.RECIPES),
      key=lambda trial: (trial[2] not in first, trial[1]),
  )
  processes = children.Children()
  variables = children.environment(_JOBS.value)

  def measure(source, count, recipe):
    config = warm_recipes.configure(source, recipe, count, _TARGET.value)
    return warm_recipes.train(config, processes, variables)

  with endings.handling(lambda *_: processes.request_stop()):
    for row in warm_recipes.run(trials, rows, measure, processes, _JOBS.value):
      rows.append(row)
      artifacts.write_json(output, {**description, "rows": rows})
      print(
          f"{row['seed']}, {row['epochs']} epochs, {row['recipe']}: "
          f"{100 * row['accuracy']:.2f} %; {len(rows)} of {len(trials)} runs",
          flush=True,
      )
  print("\n".join(warm_recipes.table(warm_recipes.summarize(rows))))


if __name__ == "__main__":
  app.run(main)
