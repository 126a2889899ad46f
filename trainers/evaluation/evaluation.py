"""Evaluation of a trained network under inference strategies."""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

import pgates
from pgates.inference import collection

_NUM_SEEDS = 5
_SHARE = 0.7
_TOP = 5


@dataclasses.dataclass(frozen=True)
class Batches:
  """What an evaluation reads; only `test` is ever reported on.

  Args:
    test: data set of (images, labels) to report on.
    validation: data set that open rates and thresholds are measured on.
    train: data set that batch-norm statistics are re-estimated on; None where
      they are not.
  """

  test: tf.data.Dataset
  validation: tf.data.Dataset
  train: tf.data.Dataset | None


def parse(texts: Iterable[str]) -> dict[str, pgates.Strategy]:
  """Reads strategies.

  Args:
    texts: as of `pgates.with_strategy`.

  Returns:
    Each by the text that was given, which may not be how ours is written.

  Raises:
    ValueError: if there is none, or one is malformed.
  """
  if not texts:
    raise ValueError("Give a strategy, or all.")
  return {text: pgates.parse_strategy(text) for text in texts}


def all_strategies(model: pgates.GatedModel) -> dict[str, pgates.Strategy]:
  """The strategies of `--strategies=all` for a network, as of `parse`.

  A network without gates has one; one without learned gates, none that is
  measured on validation data.
  """
  gates = [b.gate for b in pgates.gated_blocks(model) if b.gate is not None]
  if not gates:
    return parse(["always_open"])
  names = ["map", "threshold:0.3", "sampled", "ensemble:5"]
  names += ["expected", "always_open"]
  if not any(gate.is_learned for gate in gates):
    return parse(names)
  keep = round(_SHARE * len(pgates.gated_blocks(model)))
  names += [f"budget:{_SHARE}", "prune:0.5", f"top_k:{keep}", "settled"]
  return parse(names)


def evaluate(
    model: pgates.GatedModel,
    strategies: dict[str, pgates.Strategy],
    batches: Batches,
    *,
    execution: str = "masked",
    num_batches: int = 0,
) -> Iterator[tuple[str, dict[str, Any]]]:
  """Evaluates a network under several strategies.

  Args:
    model: a `pgates.GatedModel`; left as it was.
    strategies: as of `parse`.
    batches: `Batches`.
    execution: `masked` or `routed`.
    num_batches: of training batches to re-estimate batch-norm statistics on,
      under each strategy; 0 for none.

  Yields:
    `(text, result)`, the result as in `evaluation.json`.

  Raises:
    ValueError: if there is no example.
  """
  for text, strategy in strategies.items():
    with _state_kept(model):
      yield text, _evaluate_one(
          model, strategy, batches, execution, num_batches
      )


@contextlib.contextmanager
def _state_kept(model):
  """Gives statistics and noise generators back what they were."""
  state = [*model.non_trainable_variables]
  kept = [np.asarray(variable) for variable in state]
  try:
    yield
  finally:
    for variable, value in zip(state, kept, strict=True):
      variable.assign(value)


def _evaluate_one(model, strategy, batches, execution, num_batches):
  rule = strategy.statistics_rule
  if num_batches and rule is not None:
    pgates.reestimate_batch_norm(
        model, batches.train, num_batches, strategy=rule
    )
  resolved, left = strategy.resolve(model, batches.validation)
  decided = pgates.with_strategy(resolved, left, execution=execution)
  if num_batches and rule is None:
    pgates.reestimate_batch_norm(
        decided, batches.train, num_batches, strategy="always_open"
    )
  # What was measured on validation data.
  found = {"threshold": left.threshold} if left != strategy else {}
  return {
      **_measure(decided, batches.test, strategy),
      "parameters": decided.count_params(),
      **{name: value for name, value in found.items() if value is not None},
  }


def _measure(model, test, strategy):
  """Means over seeds, and the deviation of the accuracy."""
  runs = []
  collector = collection.Collector(model)
  for seed in range(_NUM_SEEDS if strategy.is_random else 1):
    pgates.seed_gates(model, seed)
    runs.append(_one_run(collector, model, test, strategy.num_passes))
  result = {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
  result = {key: value.tolist() for key, value in result.items()}
  if len(runs) > 1:
    deviation = np.std([run["accuracy"] for run in runs], ddof=1)
    result["accuracy_std"] = float(deviation)
  return result


def _one_run(collector, model, test, passes):
  """One pass over the test examples."""
  found = collector.collect(test, _per_example(model, passes))
  gates = found.pop("gates")
  rates = gates.mean(axis=0).reshape(passes, -1).mean(axis=0)
  return {
      **{name: float(values.mean()) for name, values in found.items()},
      "open_rate": float(gates.mean()),
      "gate_patterns": len(np.unique(gates, axis=0)),
      "gate_open_rates": rates,
  }


def _per_example(model, passes):
  def per_example(outputs, labels):
    logits = outputs["logits"]
    found = {
        "accuracy": logits.argmax(-1) == labels,
        "top5_accuracy": tf.math.in_top_k(labels, logits, _TOP).numpy(),
        "gates": outputs["gates"].astype(bool),
        "macs": model.macs.executed(outputs["gates"]).numpy(),
    }
    if passes > 1:
      found["vote_accuracy"] = outputs["votes"].argmax(-1) == labels
    return found

  return per_example


def summary(
    model: pgates.GatedModel, results: dict[str, dict[str, Any]]
) -> dict[str, Any]:
  """What `evaluation.json` says of a network as a whole.

  Mode collapse is that under MAP, or the first strategy where MAP is absent.

  Args:
    model: a `pgates.GatedModel`.
    results: strategy -> result.

  Returns:
    A dict.
  """
  macs = model.macs
  first = next(iter(results.values()))
  rates = results.get("map", first)["gate_open_rates"]
  return {
      "parameters": model.count_params(),
      "dense_macs": macs.dense,
      "strategies": results,
      "gates": [
          {"name": name, "macs": branch}
          for name, branch in zip(macs.names, macs.branches, strict=True)
      ],
      "collapsed_share": pgates.collapsed_share(rates),
      "open_rate_variance": pgates.open_rate_variance(rates),
  }
