"""Measurements of several seeds: written as they come, and summarized."""

from collections.abc import Callable
from collections.abc import Iterable
import pathlib
from typing import Any

from file_io import artifacts
from trainers.comparison import statistics

Json = dict[str, Any]

# Of the table: its columns, and what its rows are.
_COLUMNS = {
    "SavedModel, batch 1": ("served_1", "saved_model_1"),
    "SavedModel, batch 8": ("served_8", "saved_model_8"),
    "TF-Lite": ("tflite_1", "tflite_1"),
}
_ROWS = {
    "ungated": "trained without gates",
    "all_open": "gated, all gates opened",
    "masked": "gated, closed blocks times 0",
    "dynamic": "gated, every gate decides",
    "auto": "gated, the gates that pay",
    "fixed": "gated, blocks rarely open dropped",
}


def summarize(seeds: list[Json]) -> Json:
  """Means over seeds of accuracies and time ratios, with their spread.

  Args:
    seeds: list of dicts of `rows`, as `skipping.Benchmark.run` returns them.

  Returns:
    A dict: `accuracy`, format and batch size (`tflite_1`) -> network ->
    `statistics.spread`, and `statistics.difference` to the ungated network and
    to the one whose gates all decide; `time`, engine and batch size
    (`served_1`) -> network -> the spread of its ratio.
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
                  **{
                      f"minus_{other}": statistics.difference(
                          values, networks[other]
                      )
                      for other in ("ungated", "dynamic")
                  },
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
    seeds: Iterable[Any],
    measure: Callable[[Any], Json],
    output: pathlib.Path,
    description: Json,
    summarize: Callable[[list[Json]], Json] = summarize,
) -> Json:
  """Measures what a file does not hold yet of some seeds.

  Args:
    seeds: names or numbers.
    measure: of a seed -> what the file is to hold of it.
    output: JSON, written after each seed.
    description: what it says besides.
    summarize: of what it holds of each seed -> its `summary`.

  Returns:
    What the file holds.
  """
  known = artifacts.read_json(output)["seeds"] if output.exists() else []
  done = {each["seed"]: each for each in known}
  for seed in seeds:
    if seed not in done:
      done[seed] = {"seed": seed, **measure(seed)}
    found = [done[name] for name in sorted(done)]
    result = {**description, "summary": summarize(found), "seeds": found}
    artifacts.write_json(output, result)
  return result


def table(summary: Json) -> list[str]:
  """Time and accuracy of each network, in Markdown.

  Args:
    summary: of `summarize`.

  Returns:
    Lines: a header, and one a network; times are by the ungated network's.
  """
  rows = [["network", *_COLUMNS]]
  for name, what in _ROWS.items():
    cells = [
        _cell(summary["time"][engine], summary["accuracy"][format], name)
        for engine, format in _COLUMNS.values()
    ]
    rows.append([what, *cells])
  header, *rest = (f"| {' | '.join(row)} |" for row in rows)
  return [header, "|---" * len(rows[0]) + "|", *rest]


def _cell(times, accuracies, name):
  if name not in times:
    return ""
  accuracy = 100 * accuracies[name]["mean"]
  return f"{times[name]['mean']:.2f}, {accuracy:.1f} %"
