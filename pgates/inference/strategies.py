"""Inference strategies: what becomes of the trained probabilities.

| strategy        | rule                                                      |
|-----------------|-----------------------------------------------------------|
| `sampled`       | drawn as in training                                      |
| `map`           | open iff P(open) > 0.5                                    |
| `threshold:T`   | open iff P(open) > T                                      |
| `always_open`   | every block runs, its branch not rescaled                 |
| `expected`      | every block runs, its branch scaled by P(open)            |
| `ensemble:N`    | N sampled passes: mean probabilities, and votes           |
| `prune:R`       | blocks open for less than R of the validation data        |
|                 | dropped, the others always open                           |
| `top_k:K`       | the K blocks open most often, always open; the others go  |
| `budget:B`      | the threshold at which the mean executed multiply-adds of |
|                 | validation data are the share B of the dense ones         |
| `settled[:E]`   | `map`, without the gates that are open for at most E (0)  |
|                 | of the validation data, or for at least 1 - E; also       |
|                 | `settled[:E]:threshold:T` and `settled[:E]:budget:B`      |

A new strategy: a subclass of `strategy.Strategy` in a file of its own, and its
line below (docs/extending.md).
"""

import keras
import tensorflow as tf

from pgates.inference import budgets
from pgates.inference import ensembles
from pgates.inference import pruning_strategies
from pgates.inference import rule_strategies
from pgates.inference import ruled_models
from pgates.inference import settling
from pgates.inference import strategy as strategy_lib
from pgates.layers import executions
from pgates.training import model_metrics

# An example of each, and what it is.
_LISTED: dict[str, type[strategy_lib.Strategy]] = {
    "map": rule_strategies.RuleStrategy,
    "threshold:0.3": rule_strategies.RuleStrategy,
    "sampled": rule_strategies.RuleStrategy,
    "expected": rule_strategies.RuleStrategy,
    "always_open": rule_strategies.RuleStrategy,
    "ensemble:5": ensembles.Ensemble,
    "prune:0.5": pruning_strategies.Prune,
    "top_k:6": pruning_strategies.TopK,
    "budget:0.7": budgets.Budget,
    "settled:0.02": settling.Settled,
}
EXAMPLES = tuple(_LISTED)
KINDS = {text.partition(":")[0]: kind for text, kind in _LISTED.items()}
STRATEGIES = tuple(KINDS)


def parse_strategy(
    text: str | strategy_lib.Strategy,
) -> strategy_lib.Strategy:
  """Reads the flag form of a strategy.

  Args:
    text: `"map"`, `"threshold:0.3"`, `"ensemble:5"`, `"prune:0.5"`,
      `"top_k:6"`, `"budget:0.6"`, ...; a `Strategy` is returned as it is.

  Returns:
    A `Strategy`.

  Raises:
    ValueError: if the name is unknown or the argument out of its range.
  """
  if isinstance(text, strategy_lib.Strategy):
    return text
  name, _, argument = str(text).partition(":")
  if name not in KINDS:
    raise ValueError(
        f"Expected a strategy out of {', '.join(STRATEGIES)}. "
        f"Received: {text!r}"
    )
  return KINDS[name].parse(name, argument)


def with_strategy(
    model: keras.Model,
    strategy: str | strategy_lib.Strategy | None,
    *,
    execution: str = "masked",
    validation_data: tf.data.Dataset | None = None,
) -> keras.Model:
  """A model that decides its gates by a strategy and shares all weights.

  Args:
    model: a functional Keras model of `GatedResidual` blocks.
    strategy: see the table above; None for each gate's default (MAP for
      learned gates, `expected` for stochastic depth).
    execution: `masked`; `routed`: a branch runs only for the examples whose
      gate is open; `conditional`: the same, for a batch of one.
    validation_data: batched `tf.data.Dataset` of (images, ...), which `prune`,
      `top_k`, `budget` and `settled` measure on. Never give test data.

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
  if strategy is None:
    result = ruled_models.with_rule(model, None, execution=execution)
  else:
    result = _decided(
        model, parse_strategy(strategy), execution, validation_data
    )
  by_xla = model.jit_compile
  if execution == "routed":
    # XLA, Keras's choice on GPUs, would pad what is gathered to whole batches.
    by_xla = result.jit_compile = False
  return _compiled_like(result, model, jit_compile=by_xla)


def _decided(model, strategy, execution, validation_data):
  if strategy.needs_data and validation_data is None:
    raise ValueError(
        f"'{strategy}' is measured on validation data: pass `validation_data`."
    )
  resolved, left = strategy.resolve(model, validation_data)
  return left.apply(resolved, execution)


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
