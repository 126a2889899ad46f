"""Times of candidates that take turns, so that noise falls on all alike."""

from collections.abc import Mapping
import contextlib
import time
from typing import Any

import numpy as np

_STEADY = 1.5  # Of the lower quartile.


def measure(candidates, *, repeats, warmup=2, clock=time.perf_counter):
  """Runs each candidate in turn, `repeats` times.

  Every round has an order of its own: behind a candidate that leaves much
  behind in the caches, the next is slower.

  Args:
    candidates: name -> function without arguments. One that is a context
      manager, too, is entered before each of its turns and left behind it,
      outside of the time.
    repeats: rounds that count.
    warmup: rounds that do not.
    clock: returns seconds.

  Returns:
    name -> list of seconds, one a round.
  """
  times = {name: [] for name in candidates}
  rng = np.random.default_rng(0)
  for turn in range(warmup + repeats):
    for name in rng.permutation(list(candidates)).tolist():
      with _entered(candidates[name]) as call:
        start = clock()
        call()
        seconds = clock() - start
      if turn >= warmup:
        times[name].append(seconds)
  return times


def _entered(candidate):
  if isinstance(candidate, contextlib.AbstractContextManager):
    return candidate
  return contextlib.nullcontext(candidate)


def summary(times, reference):
  """Medians, quartiles, and ratios to a reference.

  Args:
    times: name -> seconds.
    reference: a name.

  Returns:
    name -> `{"median_ms", "quartiles_ms", "minimum_ms", "ratio"}`; the ratio
    is the median over rounds of the ratios within a round.
  """
  result = {}
  for name, seconds in times.items():
    low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
    ratios = np.asarray(seconds) / np.asarray(times[reference])
    result[name] = {
        "median_ms": 1000 * float(median),
        "quartiles_ms": [1000 * float(low), 1000 * float(high)],
        "minimum_ms": 1000 * float(min(seconds)),
        "ratio": float(np.median(ratios)),
    }
  return result


def is_unsteady(found: Mapping[str, Mapping[str, Any]]) -> bool:
  """Whether times differ so much from round to round that ratios may be off.

  Args:
    found: of `summary`.

  Returns:
    Whether the upper quartile of a candidate is half as much again as its
    lower one, as where other programs are at work on the same cores.
  """
  quartiles = [each["quartiles_ms"] for each in found.values()]
  return any(high > _STEADY * low for low, high in quartiles)


def time_text(milliseconds: float) -> str:
  """Writes a time for people: below 10 ms in microseconds, `713 us`."""
  microseconds = round(1000 * milliseconds)
  if abs(microseconds) < 10_000:
    return f"{microseconds:,} us"
  return f"{milliseconds:,.1f} ms"
