"""Inference strategies: what becomes of the trained probabilities.

| strategy      | rule                                                        |
|---------------|-------------------------------------------------------------|
| `sampled`     | drawn as in training                                        |
| `map`         | open iff P(open) > 0.5                                      |
| `threshold:T` | open iff P(open) > T                                        |
| `always_open` | every block runs, its branch not rescaled                   |
| `expected`    | every block runs, its branch scaled by P(open)              |
| `ensemble:N`  | N sampled passes: mean probabilities, and votes             |
| `prune:R`     | blocks open for less than R of the validation data dropped, |
|               | the others always open                                      |
| `top_k:K`     | the K blocks open most often, always open; the others go    |
| `budget:B`    | the threshold at which the mean executed multiply-adds of   |
|               | validation data are the share B of the dense ones           |
"""

import math

import numpy as np

from pgates import graphs
from pgates.inference import ensembles
from pgates.inference import measurements
from pgates.inference import pruning
from pgates.inference import rules
from pgates.layers import executions
from pgates.layers import gate_ops
from pgates.training import model_metrics

PASSES = ("ensemble",)
TRANSFORMATIONS = ("prune", "top_k", "budget")
STRATEGIES = gate_ops.RULES + PASSES + TRANSFORMATIONS


def parse_strategy(text):
  """Reads the flag form of a strategy.

  Args:
    text: `"map"`, `"threshold:0.3"`, `"ensemble:5"`, `"prune:0.5"`,
      `"top_k:6"`, `"budget:0.6"`, ...

  Returns:
    `(name, argument)`: the argument a float, an integer, or None.

  Raises:
    ValueError: if the name is unknown or the argument out of its range.
  """
  name, _, argument = str(text).partition(":")
  if name in gate_ops.RULES:
    rule = gate_ops.parse_rule(text)
    if rule.name == "threshold" and rule.threshold is None:
      raise ValueError("Give the threshold, as in 'threshold:0.3'.")
    return rule.name, rule.threshold
  kinds = {"ensemble": int, "top_k": int, "prune": float, "budget": float}
  if name not in kinds:
    raise ValueError(
        f"Expected a strategy out of {', '.join(STRATEGIES)}. "
        f"Received: {text!r}"
    )
  lowest = 1 if name == "ensemble" else 0
  highest = math.inf if kinds[name] is int else 1
  try:
    value = kinds[name](argument)
  except ValueError:
    value = None
  # Written so that NaN is refused.
  if value is None or not lowest <= value <= highest:
    wanted = "a share between 0 and 1"
    if kinds[name] is int:
      wanted = f"a whole number from {lowest}"
    raise ValueError(f"Expected {wanted} behind '{name}:'. Received: {text!r}")
  return name, value


def with_strategy(model, strategy, *, execution="masked", validation_data=None):
  """A model that decides its gates by a strategy and shares all weights.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    strategy: see the table above; None for each gate's default (MAP for
      learned gates, `expected` for stochastic depth).
    execution: `masked`; `routed`: a branch runs only for the examples whose
      gate is open; `conditional`: the same, for a batch of one.
    validation_data: batched `tf.data.Dataset` of (images, ...), which `prune`,
      `top_k` and `budget` measure on. Never give test data.

  Returns:
    A model like `model`, compiled as it where that is a compiled
    `GatedModel`. Under `ensemble:N` the logits are the logarithms of the mean
    probabilities, `votes` [batch, classes] is the share of passes whose first
    choice a class was, and `gates` [batch, N * blocks] holds the passes one
    behind the other. XLA does not compile a model that routes.

  Raises:
    ValueError: if the strategy or the execution is malformed, or validation
      data is needed.
  """
  # A block would object only when it is first run.
  executions.check_execution(execution)
  name, argument = (None, None)
  if strategy is not None:
    name, argument = parse_strategy(strategy)
  if name in TRANSFORMATIONS and validation_data is None:
    raise ValueError(
        f"{strategy!r} is measured on validation data: pass `validation_data`."
    )
  if name == "ensemble":
    result = ensembles.ensemble(model, argument, execution=execution)
  elif name == "budget":
    threshold = measurements.budget_threshold(model, argument, validation_data)
    result = rules.with_rule(
        model, f"threshold:{threshold}", execution=execution
    )
  elif name in TRANSFORMATIONS:
    closed = _closed_blocks(model, name, argument, validation_data)
    opened = set(range(len(graphs.gated_calls(model)))) - set(closed)
    result = pruning.prune(model, closed, opened=opened)
  else:
    result = rules.with_rule(model, strategy, execution=execution)
  by_xla = model.jit_compile
  if execution == "routed":
    # XLA, Keras's choice on GPUs, would pad what is gathered to whole batches.
    by_xla = result.jit_compile = False
  return _compiled_like(result, model, jit_compile=by_xla)


def _closed_blocks(model, name, argument, dataset):
  """Indices of the columns whose block is dropped."""
  open_rates, probabilities = measurements.measure_gates(model, dataset)
  calls = graphs.gated_calls(model)
  # A block that is called several times goes, or stays, as a whole.
  found = list({id(block): block for block in calls}.values())
  own = [np.array([call is block for call in calls]) for block in found]
  open_rates = [open_rates[mask].mean() for mask in own]
  probabilities = [probabilities[mask].mean() for mask in own]
  if name == "prune":
    closed = [i for i, rate in enumerate(open_rates) if rate < argument]
  else:
    if argument > len(found):
      raise ValueError(
          f"'top_k:{argument}' keeps more than the model's {len(found)} blocks."
      )
    # Among equal open rates, the higher mean probability is kept.
    order = np.lexsort((probabilities, open_rates))
    closed = order[: len(found) - argument]
  return [j for i in closed for j in np.flatnonzero(own[i]).tolist()]


def _compiled_like(result, model, *, jit_compile):
  if getattr(model, "task_loss", None) is not None:
    with model.distribute_strategy.scope():
      result.compile(
          loss=model.task_loss,
          loss_weights=model.loss_weights,
          # Copies: a metric belongs to one model.
          **{
              argument: model_metrics.copies(metrics)
              for argument, metrics in model.given_metrics.items()
          },
          jit_compile=jit_compile,
          run_eagerly=model.run_eagerly,
      )
  return result
