"""Evaluation of a trained network under inference strategies."""

import contextlib
import dataclasses

import numpy as np
import tensorflow as tf

import pgates

_NUM_SEEDS = 5
_RANDOM = ("sampled", "ensemble")
_PRUNING = ("prune", "top_k")
# The rule to re-estimate batch norms under, where it is not the strategy.
_RULES = {"ensemble": "sampled", "budget": "map"}
_SHARE = 0.7


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


def all_strategies(model):
  """The strategies of `--strategies=all` for a network.

  A network without gates has one; one without learned gates, none that is
  measured on validation data.
  """
  gates = [b.gate for b in pgates.gated_blocks(model) if b.gate is not None]
  if not gates:
    return ["always_open"]
  names = ["map", "threshold:0.3", "sampled", "ensemble:5"]
  names += ["expected", "always_open"]
  if not any(gate.is_learned for gate in gates):
    return names
  keep = round(_SHARE * len(pgates.gated_blocks(model)))
  return names + [f"budget:{_SHARE}", "prune:0.5", f"top_k:{keep}"]


def evaluate(model, strategies, batches, *, execution="masked", num_batches=0):
  """Evaluates a network under several strategies.

  Args:
    model: a `pgates.GatedModel`; left as it was.
    strategies: list of names, as of `pgates.with_strategy`.
    batches: `Batches`.
    execution: `masked` or `routed`.
    num_batches: of training batches to re-estimate batch-norm statistics on,
      under each strategy; 0 for none.

  Yields:
    `(strategy, result)`, the result as in `evaluation.json`.

  Raises:
    ValueError: if there is no example.
  """
  for strategy in strategies:
    with _state_kept(model):
      yield strategy, _evaluate_one(
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
  name, argument = pgates.parse_strategy(strategy)
  if num_batches and name not in _PRUNING:
    rule = _RULES.get(name, strategy)
    pgates.reestimate_batch_norm(
        model, batches.train, num_batches, strategy=rule
    )
  found = {}
  if name == "budget":
    found["threshold"] = pgates.budget_threshold(
        model, argument, batches.validation
    )
  decided = pgates.with_strategy(
      model,
      f"threshold:{found['threshold']}" if found else strategy,
      execution=execution,
      validation_data=batches.validation,
  )
  if num_batches and name in _PRUNING:
    pgates.reestimate_batch_norm(
        decided, batches.train, num_batches, strategy="always_open"
    )
  passes = argument if name == "ensemble" else 1
  seeds = range(_NUM_SEEDS) if name in _RANDOM else [0]
  return {
      **_measure(decided, batches.test, passes, seeds),
      "parameters": decided.count_params(),
      **found,
  }


def _measure(model, test, passes, seeds):
  """Means over seeds, and the deviation of the accuracy."""
  runs = []
  for seed in seeds:
    pgates.seed_gates(model, seed)
    runs.append(_one_run(model, test, passes))
  result = {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
  result = {key: value.tolist() for key, value in result.items()}
  if len(runs) > 1:
    deviation = np.std([run["accuracy"] for run in runs], ddof=1)
    result["accuracy_std"] = float(deviation)
  return result


def _one_run(model, test, passes):
  """One pass over the test examples."""
  hits = {"accuracy": 0, "top5_accuracy": 0, "vote_accuracy": 0}
  gates, macs = [], []
  for images, labels in test:
    outputs = model.predict_on_batch(images)
    labels = labels.numpy()
    hits["accuracy"] += np.sum(outputs["logits"].argmax(-1) == labels)
    hits["top5_accuracy"] += _top5(outputs["logits"], labels)
    if "votes" in outputs:
      hits["vote_accuracy"] += np.sum(outputs["votes"].argmax(-1) == labels)
    gates.append(outputs["gates"].astype(bool))
    macs.append(model.macs.executed(outputs["gates"]).numpy())
  if not gates:
    raise ValueError("There is no example to evaluate on that can be read.")
  gates, macs = np.concatenate(gates), np.concatenate(macs)
  if passes == 1:
    del hits["vote_accuracy"]
  rates = gates.mean(axis=0).reshape(passes, -1).mean(axis=0)
  return {
      **{name: float(count) / len(gates) for name, count in hits.items()},
      "open_rate": float(gates.mean()),
      "macs": float(macs.mean()),
      "gate_patterns": len(np.unique(gates, axis=0)),
      "gate_open_rates": rates,
  }


def _top5(logits, labels):
  own = np.take_along_axis(logits, labels[:, None], axis=1)
  return np.sum(np.sum(logits > own, axis=1) < 5)


def summary(model, results):
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
