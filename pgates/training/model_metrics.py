"""The metrics that are given to `GatedModel.compile`, and copies of them."""

from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses

import keras
import numpy as np

from pgates.training import accuracy

_ACCURACY = ("accuracy", "acc")
# Lists of metrics, or "accuracy", by the names of outputs.
ByOutput = dict[str, list[keras.metrics.Metric | str]]


@dataclasses.dataclass(frozen=True)
class LoggedMetric:
  """A metric of one output.

  Args:
    name: in the logs.
    metric: a `keras.metrics.Metric`.
    output: the name of the output that it is of.
    is_weighted: whether sample weights count.
  """

  name: str
  metric: keras.metrics.Metric
  output: str
  is_weighted: bool


def by_output(
    metrics: list | dict[str, list] | None,
    names: Iterable[str],
    *,
    argument: str,
) -> ByOutput:
  """The metrics that were given to `compile`, by the outputs they are of.

  Args:
    metrics: a list of `keras.metrics.Metric`, functions or names, of the
      output `"logits"`; a dictionary of lists by the names of outputs; None.
    names: of the model's outputs.
    argument: the argument of `compile`, for errors.

  Returns:
    Lists of `keras.metrics.Metric`, or `"accuracy"`, by outputs.

  Raises:
    ValueError: if an output or a metric is not known.
  """
  if not isinstance(metrics, dict):
    has_any = metrics or "logits" in names
    metrics = {"logits": metrics or ()} if has_any else {}
  unknown = sorted(set(metrics) - set(names))
  if unknown:
    raise ValueError(
        f"`{argument}` may name the outputs {sorted(names)}. Received: "
        f"{unknown}"
    )
  return {
      name: [_metric(m) for m in (each if _is_list(each) else [each])]
      for name, each in metrics.items()
  }


def _is_list(value):
  return isinstance(value, (list, tuple))


def _metric(identifier):
  """A metric, named as Keras names it."""
  if identifier in _ACCURACY:
    return "accuracy"
  metric = keras.metrics.get(identifier)
  name = getattr(metric, "name", None) or metric.__name__
  if isinstance(identifier, str):
    name = identifier
  if not isinstance(metric, keras.metrics.Metric):
    return keras.metrics.MeanMetricWrapper(metric, name=name)
  metric.name = name
  return metric


def logged(
    metrics: ByOutput,
    weighted_metrics: ByOutput,
    *,
    losses: dict[str, keras.losses.Loss],
    outputs: dict[str, keras.KerasTensor],
    logs: Sequence[str],
) -> list[LoggedMetric]:
  """What is logged of metrics.

  Args:
    metrics: as returned by `by_output`.
    weighted_metrics: the same.
    losses: `keras.losses.Loss` by the names of outputs.
    outputs: the tensors of the model by their names.
    logs: names that are logged without metrics; `"accuracy"` of the logits is
      one of them, and may be asked for. A mean over labels and predictions of
      that name, as Keras's accuracies are, is logged in its place.

  Returns:
    A list of `LoggedMetric`.

  Raises:
    ValueError: if a name is taken, or a loss has no accuracy.
  """
  found = []
  for is_weighted, given in ((False, metrics), (True, weighted_metrics)):
    for output, each in given.items():
      for metric in each:
        if metric == "accuracy":
          metric = accuracy.Accuracy(losses.get(output), outputs[output])
          _check_kind(metric, output)
          if output == "logits" and not is_weighted:
            continue
        name = metric.name
        name = name if output == "logits" else f"{output}_{name}"
        replaces = (
            not is_weighted
            and name == "accuracy"
            and isinstance(metric, keras.metrics.MeanMetricWrapper)
        )
        others = [other.name for other in found]
        taken = others if replaces else [*logs, *others]
        if is_weighted and name in taken:
          name = f"weighted_{name}"
        if name in taken:
          raise ValueError(
              f"`metrics` need names of their own; {logs} are logged without "
              f"(as is 'accuracy', which may be given). Received: {name!r}"
          )
        found.append(LoggedMetric(name, metric, output, is_weighted))
  return found


def _check_kind(metric, output):
  if metric.kind is None:
    raise ValueError(
        f"There is no 'accuracy' of the output {output!r}: its loss is none "
        "of classes, or it has none. Give a metric of keras.metrics that fits "
        "its labels."
    )


def copies(metrics: ByOutput) -> ByOutput:
  """The same metrics, each with a state of its own.

  A metric belongs to one model. It is not copied through its configuration,
  which need not hold all of its settings, nor be known to Keras.

  Args:
    metrics: as returned by `by_output`.

  Returns:
    The same of other objects.
  """
  return {
      name: [_copy(metric) for metric in each] for name, each in metrics.items()
  }


def _copy(metric):
  if metric == "accuracy":
    return metric
  new = object.__new__(type(metric))
  keras.metrics.Metric.__init__(new, name=metric.name, dtype=metric.dtype)
  made, known = set(vars(new)), {}
  for name, value in vars(metric).items():
    if name not in made:
      setattr(new, name, _own(value, new, known))
  new.reset_state()
  return new


def _own(value, metric, known):
  """What stands for an attribute's value in the copy of a metric."""
  if id(value) in known:
    return known[id(value)]
  if isinstance(value, keras.Variable):
    known[id(value)] = metric.add_variable(
        value.shape,
        initializer=keras.initializers.Constant(np.asarray(value)),
        dtype=value.dtype,
        name=value.name,
    )
  elif isinstance(value, keras.metrics.Metric):
    known[id(value)] = _copy(value)
  elif isinstance(value, (list, tuple)):
    return [_own(item, metric, known) for item in value]
  elif isinstance(value, dict):
    return {key: _own(item, metric, known) for key, item in value.items()}
  elif isinstance(value, np.ndarray):
    return value.copy()
  return known.get(id(value), value)
