"""The shape of results: which names, lists, numbers and texts they hold."""

import json
import pathlib

_RESULTS = pathlib.Path(__file__).parents[2] / "benchmarks" / "results"


def committed(name):
  """The value of a committed result."""
  return json.loads((_RESULTS / name).read_text("utf-8"))


def shape(value, ignored=()):
  """What is held where.

  Args:
    value: parsed JSON.
    ignored: keys that a result may have or not, at any depth.

  Returns:
    Names for numbers and texts, in the structure of the value; of a list, that
    of its first item.
  """
  if isinstance(value, dict):
    return {
        key: shape(each, ignored)
        for key, each in sorted(value.items())
        if key not in ignored
    }
  if isinstance(value, list):
    return [shape(each, ignored) for each in value[:1]]
  if isinstance(value, (bool, str)) or value is None:
    return type(value).__name__
  return "number"
