"""What a comparison says: means over seeds, and answers with intervals."""

import collections
from collections.abc import Collection
from typing import Any

from trainers.comparison import dense as dense_lib
from trainers.comparison import statistics

# Shares of the ungated network's multiply-adds at which methods meet.
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Which methods meet there.
PAIRS = (
    ("per_batch_dependent", "per_layer_dependent"),
    ("per_batch_independent", "per_layer_independent"),
    (dense_lib.CASCADE, dense_lib.ENVELOPE),
    *(
        (gated, dense)
        for gated in ("per_batch_dependent", "warm_per_batch_dependent")
        for dense in (dense_lib.ENVELOPE, dense_lib.CASCADE)
    ),
    *(
        ("distilled_per_batch_dependent", prefix + dense)
        for prefix in ("", dense_lib.DISTILLED)
        for dense in (dense_lib.ENVELOPE, dense_lib.CASCADE)
    ),
)
_MEASURES = (
    *("collapsed_share", "open_rate_variance", "seconds_per_step"),
    *("parameters", "trained_open_rate"),
)
_MOST = 0.5  # Of the gates.
_BYPASSED = (0.25, 0.40)  # Of the blocks, by the paper.
_PRUNED = "prune:0.5"


def summarize(
    results: list[dict[str, Any]],
    dense_curves: dict[int, dict[str, Any]] | None = None,
) -> dict[str, Any]:
  """Summarizes the trials of a comparison.

  Args:
    results: list of dicts, as of `trials.read_trial`.
    dense_curves: as of `dense.read_curves`; None for none.

  Returns:
    A dict for JSON: `dense_macs` of the ungated network (where there is none,
    of the first); `blocks`, names of the blocks; `rows`, one for each method
    and target; `equal_macs`, accuracies and paired differences at equal
    multiply-adds; `oracle` of the plain networks, where there are several;
    `answers`; and `cells`, the results themselves.
  """
  groups = _grouped(results)
  reference = groups.get(("ungated", None), results)
  dense = reference[0]["dense_macs"]
  dense_curves = dense_curves or {}
  learned = {
      key: trials for key, trials in groups.items() if key[1] is not None
  }
  return {
      "dense_macs": dense,
      "blocks": results[0]["blocks"],
      "rows": [_row(key, trials, dense) for key, trials in groups.items()],
      "equal_macs": _equal_macs(learned, dense_curves, dense),
      "oracle": _oracle(dense_curves, dense),
      "answers": {
          "collapse": _each(learned, _collapse),
          "pruned": _each(learned, _pruned, dense),
          "against_ungated": _against_ungated(groups, dense),
          "strategies": _strategies(learned, dense),
      },
      "cells": results,
  }


def own_strategy(target_rate: float | None, strategies: Collection[str]) -> str:
  """The strategy by which a method is held against the others.

  Neither a plain network nor stochastic depth has a decision of its own: all
  blocks run, if there are gates in expectation.

  Args:
    target_rate: of the method; None if it learns no gates.
    strategies: that it was evaluated under.

  Returns:
    One of them.
  """
  if target_rate is not None:
    return "map"
  return "expected" if "expected" in strategies else "always_open"


def _grouped(results):
  """(method, target) -> trials by seed, in the order that they come in."""
  groups = collections.defaultdict(list)
  for trial in sorted(results, key=lambda trial: trial["seed"]):
    groups[trial["method"], trial["target_rate"]].append(trial)
  return groups


def _each(groups, summarize_trials, *arguments):
  return [
      {
          "method": method,
          "target_rate": target,
          **summarize_trials(trials, *arguments),
      }
      for (method, target), trials in groups.items()
  ]


def _row(key, trials, dense):
  method, target = key
  row = {"method": method, "target_rate": target}
  for name in _MEASURES:
    values = [trial[name] for trial in trials]
    row[name] = None if None in values else statistics.spread(values)
  for kind in ("strategies", "recalibrated"):
    if kind in trials[0]:
      row[kind] = {
          name: _spreads([trial[kind][name] for trial in trials], dense)
          for name in trials[0][kind]
      }
  return row


def _spreads(evaluations, dense):
  return {
      "accuracy": _spread_of("accuracy", evaluations),
      "open_rate": _spread_of("open_rate", evaluations),
      "macs_share": statistics.spread([e["macs"] / dense for e in evaluations]),
  }


def _spread_of(name, evaluations):
  return statistics.spread([evaluation[name] for evaluation in evaluations])


def _oracle(dense_curves, dense):
  found = [
      of_seed[dense_lib.ORACLE]
      for of_seed in dense_curves.values()
      if dense_lib.ORACLE in of_seed
  ]
  if not found:
    return None
  return {
      "accuracy": _spread_of("accuracy", found),
      "macs_share": statistics.spread([each["macs"] / dense for each in found]),
  }


def _equal_macs(groups, dense_curves, dense):
  """Accuracies of each method where it spends equally, by share."""
  curves = collections.defaultdict(lambda: collections.defaultdict(list))
  for (method, _), trials in groups.items():
    for trial in trials:
      curves[method][trial["seed"]].append(trial["curves"])
  for seed, of_seed in dense_curves.items():
    for method, of_method in of_seed.items():
      if not method.endswith(dense_lib.ORACLE):
        curves[method][seed] = of_method
  return [_at_share(curves, share, dense) for share in SHARES]


def _at_share(curves, share, dense):
  accuracies = {}
  for method, by_seed in curves.items():
    found = {
        seed: statistics.chosen_accuracy_at(of_seed, share * dense)
        for seed, of_seed in by_seed.items()
    }
    reached = {s: value for s, value in found.items() if value is not None}
    if reached:
      accuracies[method] = reached
  differences = []
  for ours, theirs in PAIRS:
    pairs = _pairs(accuracies.get(ours, {}), accuracies.get(theirs, {}))
    if pairs:
      difference = statistics.difference(*zip(*pairs, strict=True))
      differences.append({"ours": ours, "theirs": theirs, **difference})
  return {
      "macs_share": share,
      "accuracy": {
          method: statistics.spread(list(by_seed.values()))
          for method, by_seed in accuracies.items()
      },
      "differences": differences,
  }


def _pairs(ours, theirs):
  """Values of the seeds that have one in both."""
  return [(ours[s], theirs[s]) for s in sorted(set(ours) & set(theirs))]


def _collapse(trials):
  """How many gates are almost always or almost never open, when sampled."""
  shares = [trial["collapsed_share"] for trial in trials]
  return {
      "collapsed_share": statistics.spread(shares),
      "runs_with_most_collapsed": sum(share > _MOST for share in shares),
  }


def _pruned(trials, dense):
  """The pruned network against its gated self under MAP."""
  pruned = [trial["strategies"][_PRUNED] for trial in trials]
  again = [trial["recalibrated"][_PRUNED] for trial in trials]
  gated = [trial["strategies"]["map"]["accuracy"] for trial in trials]

  def minus_gated(evaluations):
    return statistics.difference([e["accuracy"] for e in evaluations], gated)

  return {
      "macs_share": statistics.spread([e["macs"] / dense for e in pruned]),
      "parameters_share": statistics.spread(
          [
              e["parameters"] / trial["parameters"]
              for e, trial in zip(pruned, trials, strict=True)
          ]
      ),
      "minus_map": minus_gated(pruned),
      "recalibrated_minus_map": minus_gated(again),
  }


def _against_ungated(groups, dense):
  """Networks with gates against the ungated one of the same seed."""
  ungated = {
      trial["seed"]: trial["strategies"]["always_open"]["accuracy"]
      for trial in groups.get(("ungated", None), [])
  }
  found = []
  for (method, target), trials in groups.items():
    if method == "ungated":
      continue
    name = own_strategy(target, trials[0]["strategies"])
    gated = {trial["seed"]: trial["strategies"][name] for trial in trials}
    accuracy = {seed: e["accuracy"] for seed, e in gated.items()}
    pairs = _pairs(accuracy, ungated)
    if not pairs:
      continue
    low, high = _BYPASSED
    bypassed = statistics.spread([1 - e["open_rate"] for e in gated.values()])
    found.append(
        {
            "method": method,
            "target_rate": target,
            "strategy": name,
            "bypassed": bypassed,
            "bypassed_as_in_the_paper": low <= bypassed["mean"] <= high,
            "macs_share": statistics.spread(
                [e["macs"] / dense for e in gated.values()]
            ),
            "difference": statistics.difference(*zip(*pairs, strict=True)),
        }
    )
  return found


def _strategies(groups, dense):
  """Each strategy against MAP; a seed counts with the mean of its runs."""
  gains = collections.defaultdict(lambda: collections.defaultdict(list))
  shares = collections.defaultdict(lambda: collections.defaultdict(list))
  for trials in groups.values():
    for trial in trials:
      base = trial["strategies"]["map"]["accuracy"]
      for name, result in trial["strategies"].items():
        gains[name][trial["seed"]].append(result["accuracy"] - base)
        shares[name][trial["seed"]].append(result["macs"] / dense)
  return [
      {
          "strategy": name,
          "minus_map": statistics.difference(
              _means(by_seed), [0.0] * len(by_seed)
          ),
          "macs_share": statistics.spread(_means(shares[name])),
      }
      for name, by_seed in gains.items()
  ]


def _means(by_seed):
  return [sum(values) / len(values) for values in by_seed.values()]
