"""Accuracy over time: what networks reach where they take equally long.

A seed is a dict, network -> `{"kind", "group", "engines"}`. The kind is
`dense`, `cascade` or `gated`; networks of a group are points of one curve.
Engines, by name and batch size (`served_8`), have `{"time", "accuracy"}`: a
share of the ungated network's time, and accuracies on `validation` and `test`.
"""

from typing import Any

from trainers.comparison import statistics

Json = dict[str, Any]
# Of the ungated network's time.
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SPLITS = ("validation", "test")
# What gated networks are held against.
_BASELINES = ("dense", "cascade")


def curves(networks: dict[str, Json], kind: str, engine: str) -> list[Json]:
  """The curves of a kind, as of `statistics.chosen_accuracy_at`.

  Args:
    networks: of a seed.
    kind: `dense`, `cascade` or `gated`.
    engine: a key of their times.

  Returns:
    A list of curves by split, one a group. Where they say `macs`, it is time.
  """
  groups = {}
  for network in networks.values():
    if network["kind"] == kind and engine in network["engines"]:
      groups.setdefault(network["group"], []).append(network["engines"][engine])
  return [
      {
          split: [
              {
                  "macs": each["time"],
                  "accuracy": each["accuracy"][split],
              }
              for each in group
          ]
          for split in SPLITS
      }
      for group in groups.values()
  ]


def summarize(seeds: list[Json]) -> Json:
  """Who is more accurate where networks take equally long.

  Args:
    seeds: list of `{"networks": ...}`.

  Returns:
    By engine: `networks`, the spread of time and accuracy of each; `at_time`,
    by share of time the spread of the dense envelope and of the best cascade,
    and their difference; `gated`, of each gated network its difference to
    both at its own time. What is chosen is chosen on validation data.
  """
  engines = sorted(
      {
          engine
          for seed in seeds
          for network in seed["networks"].values()
          for engine in network["engines"]
      }
  )
  return {engine: _of_engine(seeds, engine) for engine in engines}


def _of_engine(seeds, engine):
  baselines = [
      {kind: curves(seed["networks"], kind, engine) for kind in _BASELINES}
      for seed in seeds
  ]
  by_name = {}
  for seed, baseline in zip(seeds, baselines, strict=True):
    for name, network in seed["networks"].items():
      if engine in network["engines"]:
        found = by_name.setdefault((name, network["kind"]), [])
        found.append((network["engines"][engine], baseline))
  return {
      "networks": {
          name: {
              "time": statistics.spread([n["time"] for n, _ in found]),
              "accuracy": statistics.spread(
                  [n["accuracy"]["test"] for n, _ in found]
              ),
          }
          for (name, _), found in by_name.items()
      },
      "at_time": [_at_time(baselines, share) for share in SHARES],
      "gated": {
          name: {f"minus_{kind}": _minus(found, kind) for kind in _BASELINES}
          for (name, own), found in by_name.items()
          if own == "gated"
      },
  }


def _at_time(baselines, share):
  pairs = [
      tuple(
          statistics.chosen_accuracy_at(baseline[kind], share)
          for kind in _BASELINES
      )
      for baseline in baselines
  ]
  found = {"time": share}
  for place, kind in enumerate(_BASELINES):
    reached = [pair[place] for pair in pairs if pair[place] is not None]
    found[kind] = statistics.spread(reached) if reached else None
  both = [pair for pair in pairs if None not in pair]
  found["cascade_minus_dense"] = (
      statistics.difference(*zip(*[pair[::-1] for pair in both], strict=True))
      if both
      else None
  )
  return found


def _minus(found, kind):
  """A gated network against a baseline of as much time; None out of reach."""
  pairs = []
  for network, baseline in found:
    theirs = statistics.chosen_accuracy_at(baseline[kind], network["time"])
    if theirs is not None:
      pairs.append((network["accuracy"]["test"], theirs))
  return statistics.difference(*zip(*pairs, strict=True)) if pairs else None
