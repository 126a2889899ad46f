"""An adapter of Keras: lists of logs are in the order of their names.

Keras 3.15 looks up the values of a list by the names of the metrics' objects,
and puts behind them, sorted, what has none. Of two outputs that have a metric
of one name, or of weighted metrics, values then stand under others' names.
"""

from typing import Any

from pgates.training import symbolic_build


class ListedModel(symbolic_build.BuiltModel):
  """A model whose lists of logs follow its `metrics_names`.

  Args:
    *args: of a functional `keras.Model`: inputs and outputs.
    **kwargs: the same.
  """

  def list_logs(self, logs: dict[str, Any]) -> list[Any]:
    """The values of logs, in the order of `metrics_names`."""
    raise NotImplementedError

  def evaluate(
      self, *args: Any, return_dict: bool = False, **kwargs: Any
  ) -> list[Any] | dict[str, Any]:
    """As that of `keras.Model`."""
    logs = super().evaluate(*args, return_dict=True, **kwargs)
    return logs if return_dict else self.list_logs(logs)

  def train_on_batch(
      self, *args: Any, return_dict: bool = False, **kwargs: Any
  ) -> list[Any] | dict[str, Any]:
    """As that of `keras.Model`."""
    logs = super().train_on_batch(*args, return_dict=True, **kwargs)
    return logs if return_dict else self.list_logs(logs)

  def test_on_batch(
      self, *args: Any, return_dict: bool = False, **kwargs: Any
  ) -> list[Any] | dict[str, Any]:
    """As that of `keras.Model`."""
    logs = super().test_on_batch(*args, return_dict=True, **kwargs)
    return logs if return_dict else self.list_logs(logs)
