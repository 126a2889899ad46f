"""Tests of `export.timing.block_times`."""

import functools

import pytest

from export.timing import block_costs
from export.timing import block_times
from export.timing import engines
from export.timing import probes
from tests.helpers import gated_networks


@pytest.fixture(scope="module")
def model():
  return gated_networks.resnet(always_open=[1])


@pytest.fixture(
    scope="module",
    params=["tflite", pytest.param("saved_model", marks=pytest.mark.slow)],
)
def folder(request, model, tmp_path_factory):
  path = tmp_path_factory.mktemp(request.param) / "probes"
  batch_size = 1 if request.param == "tflite" else 4
  probes.write(model, path, format=request.param, batch_size=batch_size)
  return path


def _measure(folder, **kwargs):
  format = block_times.read_manifest(folder)["format"]
  load = functools.partial(engines.load, format=format)
  return block_times.measure(folder, load, **kwargs)


class _Clock:
  """Each call takes as long as its place among the candidates says."""

  def __init__(self, monkeypatch, seconds):
    self.now = 0.0
    self._seconds = seconds
    real = block_times._calls

    def calls(*arguments):
      return {name: self._slow(name) for name in real(*arguments)}

    monkeypatch.setattr(block_times, "_calls", calls)

  def _slow(self, name):
    def run():
      self.now += self._seconds[name]

    return run

  def __call__(self):
    return self.now


def test_costs_are_differences_between_ways_through_a_block(
    model, folder, monkeypatch
):
  clock = _Clock(monkeypatch, {"ran": 5e-3, "skipped": 2e-3, "closed": 1.5e-3})
  found = _measure(folder, repeats=3, clock=clock)
  assert found.unit == "us" and found.format in str(folder)
  assert [block.name for block in found.blocks] == [*model.macs.names]
  # The second block has no gate.
  for block, branch, gate in zip(
      found.blocks, [3000, 0, 3000], [500, 0, 500], strict=True
  ):
    assert block.branch == pytest.approx(branch)
    assert block.gate == pytest.approx(gate)


def test_noise_makes_no_cost_negative(folder, monkeypatch):
  clock = _Clock(monkeypatch, {"ran": 1e-3, "skipped": 2e-3, "closed": 3e-3})
  found = _measure(folder, repeats=3, clock=clock)
  assert {(b.branch, b.gate) for b in found.blocks} == {(0.0, 0.0)}


def test_probes_run_and_take_time(folder):
  found = _measure(folder, repeats=2)
  assert found.blocks[0].branch + found.blocks[0].gate > 0
  assert found.blocks[1] == block_costs.BlockCost("stage2_block0", 0.0, 0.0)


def test_folder_without_probes_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match="probes.json.*--keep_probes"):
    block_times.measure(tmp_path, load=None)
