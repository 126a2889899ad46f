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

import keras
import numpy as np

from pgates import blocks
from pgates import compute
from pgates import executions
from pgates import gate_ops
from pgates import graphs
from pgates import pruning
from pgates.layer_costs import layer_macs

PASSES = ("ensemble",)
TRANSFORMATIONS = ("prune", "top_k", "budget")
STRATEGIES = gate_ops.RULES + PASSES + TRANSFORMATIONS
# Beyond it, float32 hardly tells probabilities from 1.
_BUDGET_LOGIT = 16.0
_BISECTIONS = 15  # To 0.001 in the logit.


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
    behind the other.

  Raises:
    ValueError: if the strategy or the execution is malformed, or validation
      data is needed.
  """
  _check_execution(execution)
  name, argument = (None, None)
  if strategy is not None:
    name, argument = parse_strategy(strategy)
  if name in TRANSFORMATIONS and validation_data is None:
    raise ValueError(
        f"{strategy!r} is measured on validation data: pass `validation_data`."
    )
  if name == "ensemble":
    result = _ensemble(model, argument, execution)
  elif name == "budget":
    threshold = budget_threshold(model, argument, validation_data)
    result = _with_rule(model, f"threshold:{threshold}", execution)
  elif name in TRANSFORMATIONS:
    closed = _closed_blocks(model, name, argument, validation_data)
    opened = set(range(len(graphs.gated_blocks(model)))) - set(closed)
    result = pruning.prune(model, closed, opened=opened)
  else:
    result = _with_rule(model, strategy, execution)
  return _compiled_like(result, model)


def with_threshold_input(model, *, execution="masked"):
  """A model whose gates open above a probability given with each example.

  Args:
    model: a functional Keras model of one input and `GatedResidual` blocks.
    execution: as of `with_strategy`.

  Returns:
    A model of `{"images": [batch, ...], "threshold": [batch]}`, of the class
    and with the outputs of `model`, not compiled. It shares all weights.

  Raises:
    ValueError: if blocks are in a nested model, or the execution is unknown.
  """
  _check_execution(execution)
  if any(graphs.gated_blocks(m) for m in model.layers if _is_model(m)):
    raise ValueError(
        f"{model.name} holds gated blocks in a nested model; a threshold input "
        "needs them in the model itself."
    )
  images, unused = model.inputs[0], _threshold_input()
  new = {"images": _input_like(images), "threshold": _threshold_input()}
  call = _call_with(
      strategy="threshold", execution=execution, threshold=new["threshold"]
  )
  with model.distribute_strategy.scope():
    # The threshold must be an input before the blocks can be called with it.
    outputs = {**model.output, "threshold": unused}
    joined = keras.Model([images, unused], outputs)
    core = graphs.rebuild(joined, call=call, input_tensors=list(new.values()))
    outputs = {name: core.output[name] for name in model.output}
    return type(model)(new, outputs, name=model.name)


def _check_execution(execution):
  # A block would object only when it is first run.
  if execution not in executions.EXECUTIONS:
    raise ValueError(
        f"`execution` must be one of {executions.EXECUTIONS}. "
        f"Received: {execution!r}"
    )


def _is_model(layer):
  return isinstance(layer, keras.Model)


def _input_like(tensor):
  return keras.Input(
      batch_shape=tensor.shape, dtype=tensor.dtype, name="images"
  )


def _threshold_input():
  return keras.Input((), dtype="float32", name="threshold")


def measure_gates(model, dataset, *, strategy="map"):
  """Measures how often each block runs.

  Args:
    model: a functional Keras model with the outputs of `gated_outputs`.
    dataset: batched `tf.data.Dataset` of (images, ...).
    strategy: a rule.

  Returns:
    `(open_rates, mean_probabilities)`, float64 arrays [blocks].
  """
  outputs = _predict_gates(_with_rule(model, strategy, "masked"), dataset)
  logits = np.asarray(outputs["gate_logits"], np.float64)
  probabilities = 1 / (1 + np.exp(-logits))
  return np.mean(outputs["gates"], axis=0, dtype=np.float64), np.mean(
      probabilities, axis=0
  )


def budget_threshold(model, budget, dataset):
  """Finds the threshold that spends a share of the dense multiply-adds.

  Decisions change what later gates read, so the executed multiply-adds are
  measured anew at each threshold of a bisection over its logit (they fall, if
  not strictly, as it rises). Of the thresholds tried, the one whose cost is
  nearest to the budget from below is returned; the nearest, where none is
  below.

  Args:
    model: a functional Keras model with the outputs of `gated_outputs`.
    budget: share of the dense multiply-adds, in [0, 1].
    dataset: batched `tf.data.Dataset` of (images, ...).

  Returns:
    A probability.
  """
  low, high = -_BUDGET_LOGIT, _BUDGET_LOGIT
  tried = []
  macs = compute.count_macs(model)
  by_threshold = with_threshold_input(model)
  for _ in range(_BISECTIONS):
    logit = (low + high) / 2
    # As float32, what is measured here is what the returned number does.
    threshold = float(np.float32(1 / (1 + math.exp(-logit))))
    gates = _predict_gates(by_threshold, dataset, threshold)["gates"]
    share = float(np.mean(macs.executed(gates))) / macs.dense
    tried.append((share > budget, abs(share - budget), threshold))
    low, high = (logit, high) if share > budget else (low, logit)
  return min(tried)[2]


def _predict_gates(model, dataset, threshold=None):
  def inputs(*batch):
    images = batch[0]
    if threshold is None:
      return images
    thresholds = keras.ops.full(keras.ops.shape(images)[:1], threshold)
    return {"images": images, "threshold": thresholds}

  outputs = model.predict(dataset.map(inputs), verbose=0)
  return {name: outputs[name] for name in ("gates", "gate_logits")}


def _closed_blocks(model, name, argument, dataset):
  open_rates, probabilities = measure_gates(model, dataset)
  if name == "prune":
    return [i for i, rate in enumerate(open_rates) if rate < argument]
  if argument > len(open_rates):
    raise ValueError(
        f"'top_k:{argument}' keeps more than the model's {len(open_rates)} "
        "blocks."
    )
  # Among equal open rates, the higher mean probability is kept.
  order = np.lexsort((probabilities, open_rates))
  return order[: len(order) - argument].tolist()


def _call_with(**settings):
  def call(layer, *args, **kwargs):
    if isinstance(layer, blocks.GatedResidual):
      kwargs = {**kwargs, **settings}
    return layer(*args, **kwargs)

  return call


def _with_rule(model, rule, execution):
  settings = {"execution": execution}
  if rule is not None:
    gate_ops.parse_rule(rule)
    settings["strategy"] = rule
  return graphs.same_class(
      model, graphs.rebuild(model, call=_call_with(**settings))
  )


def _ensemble(model, num_passes, execution):
  call = _call_with(strategy="sampled", execution=execution)
  sampled = graphs.rebuild(model, call=call)
  with model.distribute_strategy.scope():
    images = _input_like(model.inputs[0])
    passes = [sampled(images) for _ in range(num_passes)]
    logits, votes = EnsembleVote(name="ensemble")(
        [outputs["logits"] for outputs in passes]
    )
    outputs = {"logits": logits, "votes": votes}
    for name in ("gates", "gate_logits"):
      # Names of layers: those of loose operations clash with the model's.
      join = keras.layers.Concatenate(axis=1, name=f"ensemble_{name}")
      outputs[name] = join([each[name] for each in passes])
    return type(model)(images, outputs)


@keras.saving.register_keras_serializable(package="pgates")
class EnsembleVote(keras.layers.Layer):
  """Joins the logits of several passes.

  Call arguments:
    inputs: list of float32 [batch, classes], one from each pass.

  Returns:
    `(logits, votes)`, [batch, classes] each: the logarithm of the mean
    probability, and the share of passes whose first choice the class was.
  """

  def call(self, inputs):
    logits = keras.ops.stack(inputs, axis=1)
    log_probabilities = keras.ops.log_softmax(logits, axis=-1)
    total = keras.ops.logsumexp(log_probabilities, axis=1)
    first = keras.ops.argmax(logits, axis=-1)
    votes = keras.ops.one_hot(first, logits.shape[-1])
    mean = total - float(np.log(len(inputs)))
    return mean, keras.ops.mean(votes, axis=1)

  def compute_output_shape(self, input_shape):
    return input_shape[0], input_shape[0]


@layer_macs.register(EnsembleVote)
def _no_macs(layer, input_shape):
  del layer, input_shape
  return 0


def _compiled_like(result, model):
  if getattr(model, "task_loss", None) is not None:
    deserialize = keras.saving.deserialize_keras_object
    with model.distribute_strategy.scope():
      result.compile(
          loss=model.task_loss,
          # Copies: a metric belongs to one model.
          metrics=[
              deserialize(m) for m in model.get_compile_config()["metrics"]
          ],
          jit_compile=model.jit_compile,
          run_eagerly=model.run_eagerly,
      )
  return result
