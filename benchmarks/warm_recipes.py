"""Recipes of a warm start: tried, and compared."""

from concurrent import futures
import pathlib
import subprocess
import sys
import tempfile

from run_data import reader
from trainers.comparison import statistics
from trainers.settings import config as config_lib
from trainers.settings import presets
from trainers.settings import records
from trainers.training import run_files

# Where the search began; each recipe after the second changes one setting.
START = "start"
# What was taken: of the preset, and of `trainers.accelerate`.
CHOSEN = "chosen"
_START = {"learning_rate": 0.003, "gate_learning_rate_multiplier": 10.0}
_ITSELF = {"distill_from": lambda settings: settings["init_from"]}
# What each sets, over the preset; callables take the settings so far.
RECIPES = {
    START: _START,
    CHOSEN: _ITSELF,
    "learning_rate 0.001": _START | {"learning_rate": 0.001},
    "learning_rate 0.01": _START | {"learning_rate": 0.01},
    "gate_learning_rate_multiplier 30": (
        _START | {"gate_learning_rate_multiplier": 30.0}
    ),
    "gate_warmup_epochs a quarter": (
        _START | {"gate_warmup_epochs": lambda settings: settings["epochs"] / 4}
    ),
    "distill_from the network itself": _START | _ITSELF,
}


def configure(source, recipe, epochs, target):
  """The settings of one run.

  Args:
    source: folder of a run without gates.
    recipe: a name of `RECIPES`.
    epochs: of fine-tuning.
    target: rate of the multiply-adds that gates can save.

  Returns:
    A `config.Config`.
  """
  settings = reader.read_settings(source)
  settings |= presets.PRESETS["warm_start"]
  settings |= {
      "gate": "dependent",
      "epochs": epochs,
      "target_rates": [target],
      "init_from": str(source),
  }
  for name, value in RECIPES[recipe].items():
    settings[name] = value(settings) if callable(value) else value
  return config_lib.Config(**settings)


def train(config, processes, variables):
  """Trains a run, and forgets it.

  Args:
    config: its settings.
    processes: `children.Children` that run the trainer.
    variables: of their environment, or None for that of this process.

  Returns:
    A dict of the last epoch's validation `accuracy`, `open_rate` and `macs`
    of an example.
  """
  with tempfile.TemporaryDirectory() as folder:
    workdir = pathlib.Path(folder) / "run"
    with open(pathlib.Path(folder) / "log.txt", "w+") as log:
      try:
        processes.call(
            "trainers.train",
            [f"--workdir={workdir}", *records.to_flags(config)],
            log=log,
            env=variables,
        )
      except subprocess.CalledProcessError:
        log.seek(0)
        print(log.read(), file=sys.stderr)
        raise
    last = run_files.read_history(workdir)[-1]
  return {
      name: last[f"val_{name}"] for name in ("accuracy", "open_rate", "macs")
  }


def run(trials, rows, measure, processes, num_jobs):
  """Yields what is not known yet, as it comes.

  Args:
    trials: list of (folder of a seed, epochs, recipe).
    rows: list of dicts that are known.
    measure: from a trial to what `train` returns.
    processes: `children.Children` that are stopped if one of them fails.
    num_jobs: trials at once.

  Yields:
    Dicts of `seed`, `epochs`, `recipe` and what `measure` returns.
  """
  done = {(row["seed"], row["epochs"], row["recipe"]) for row in rows}
  with futures.ThreadPoolExecutor(num_jobs) as pool:
    running = {
        pool.submit(measure, source, epochs, recipe): {
            "seed": source.name,
            "epochs": epochs,
            "recipe": recipe,
        }
        for source, epochs, recipe in trials
        if (source.name, epochs, recipe) not in done
    }
    try:
      for future in futures.as_completed(running):
        yield running[future] | future.result()
    except BaseException:
      processes.request_stop()
      raise


def summarize(rows):
  """Means over seeds of each recipe, and differences from the first.

  Args:
    rows: list of dicts of `seed`, `recipe`, `epochs` and what `train` returns.

  Returns:
    A list of dicts, one a recipe and number of epochs: `accuracy`, `open_rate`,
    `macs` (`statistics.spread`), and `minus_start`, the paired difference of
    accuracies over the seeds that both have.
  """
  cells = {}
  for row in rows:
    cell = cells.setdefault((row["epochs"], row["recipe"]), {})
    cell[row["seed"]] = row
  found = []
  for (epochs, recipe), cell in sorted(cells.items(), key=_order):
    start = cells.get((epochs, START), {})
    both = sorted(cell.keys() & start.keys())
    summary = {
        name: statistics.spread([row[name] for row in cell.values()])
        for name in ("accuracy", "open_rate", "macs")
    }
    if both:
      summary["minus_start"] = statistics.difference(
          *([each[seed]["accuracy"] for seed in both] for each in (cell, start))
      )
    found.append({"epochs": epochs, "recipe": recipe, **summary})
  return found


def _order(item):
  epochs, recipe = item[0]
  return epochs, list(RECIPES).index(recipe)


def table(summary):
  """The summary as lines of Markdown."""
  lines = [
      "| epochs | recipe | seeds | accuracy, % | minus `start` | open, % |",
      "|---|---|---|---|---|---|",
  ]
  for row in summary:
    difference = row.get("minus_start", {})
    text = ""
    if row["recipe"] != START and "low" in difference:
      mean, low, high = (
          100 * difference[name] for name in ("mean", "low", "high")
      )
      text = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
    lines.append(
        f"| {row['epochs']} | {row['recipe']} | {row['accuracy']['n']} "
        f"| {100 * row['accuracy']['mean']:.2f} | {text} "
        f"| {100 * row['open_rate']['mean']:.1f} |"
    )
  return lines
