"""Tests of `benchmarks.served`."""

import pytest

from benchmarks import candidates
from benchmarks import served
import pgates
from tests.helpers import gated_networks as networks


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
  folder = tmp_path_factory.mktemp("served")
  rule = pgates.parse_strategy("map")
  by_name = candidates.of_rule(networks.resnet(), rule)
  for name in ("all_open", "dynamic"):
    by_name[name].write(folder / name, "saved_model")
  return {name: folder / name for name in ("all_open", "dynamic")}


@pytest.mark.slow
def test_each_model_is_timed_each_round(paths):
  times = served.measure(
      paths,
      networks.images(6).reshape(2, 3, *networks.images(1).shape[1:]),
      {"dynamic": 0.5},
      repeats=4,
      num_threads=1,
  )
  assert set(times) == set(paths)
  for seconds in times.values():
    assert len(seconds) == 4 and min(seconds) > 0


def test_what_the_process_says_is_told(paths):
  # Images of another shape than the model's.
  with pytest.raises(RuntimeError, match="process that serves failed"):
    served.measure(
        paths,
        networks.images(3)[None, ..., 0],
        {"dynamic": 0.5},
        repeats=1,
        num_threads=1,
    )
