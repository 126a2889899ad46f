"""Measurements of several seeds: written as they come, and summarized."""

from collections.abc import Callable
from collections.abc import Iterable
import pathlib
from typing import Any

from file_io import artifacts
from trainers.comparison import statistics

Json = dict[str, Any]


def summarize(seeds: list[Json]) -> Json:
  """Means over seeds of accuracies and time ratios, with their spread.

  Args:
    seeds: list of dicts of `rows`, as `skipping.Benchmark.run` returns them.

  Returns:
    A dict: `accuracy`, format -> network -> `statistics.spread`, and `minus`
    the ungated network's, `statistics.difference`; `time`, engine and batch
    size (`served_1`) -> network -> the spread of its ratio.
  """
  accuracies, times = {}, {}
  for seed in seeds:
    for row in seed["rows"]:
      for format, networks in row["networks"].items():
        key = f"{format}_{row['batch_size']}"
        for name, found in networks.items():
          _append(accuracies, key, name, found["accuracy"])
      for engine in ("served", "tflite"):
        for name, found in row.get(engine, {}).items():
          _append(times, f"{engine}_{row['batch_size']}", name, found["ratio"])
  return {
      "accuracy": {
          key: {
              name: {
                  **statistics.spread(values),
                  "minus_ungated": statistics.difference(
                      values, networks["ungated"]
                  ),
              }
              for name, values in networks.items()
          }
          for key, networks in accuracies.items()
      },
      "time": {
          key: {
              name: statistics.spread(values)
              for name, values in networks.items()
          }
          for key, networks in times.items()
      },
  }


def _append(table, key, name, value):
  table.setdefault(key, {}).setdefault(name, []).append(value)


def run(
    seeds: Iterable[str],
    measure: Callable[[str], list[Json]],
    output: pathlib.Path,
    description: Json,
) -> Json:
  """Measures what a file does not hold yet of some seeds.

  Args:
    seeds: names.
    measure: name -> rows.
    output: JSON, written after each seed.
    description: what it says besides.

  Returns:
    What the file holds.
  """
  known = artifacts.read_json(output)["seeds"] if output.exists() else []
  done = {each["seed"]: each for each in known}
  for seed in seeds:
    if seed not in done:
      done[seed] = {"seed": seed, "rows": measure(seed)}
    found = [done[name] for name in sorted(done)]
    result = {**description, "summary": summarize(found), "seeds": found}
    artifacts.write_json(output, result)
  return result
