"""Tests of `export.timing.costs`."""

import json

import pytest

from export.timing import block_costs
from export.timing import costs
from file_io import artifacts
import pgates
from tests.helpers import gated_networks


def _costs(model):
  return block_costs.Costs(
      tuple(
          block_costs.BlockCost(name, 10.0 * i, float(i))
          for i, name in enumerate(model.macs.names)
      ),
      unit="us",
      format="tflite",
      batch_size=1,
  )


def _write(path, model):
  network = costs.fingerprint(model)
  artifacts.write_json(path, _costs(model).as_json(network, machine="here"))


def test_file_is_read_as_it_was_written(tmp_path):
  model = gated_networks.resnet()
  path = tmp_path / "costs.json"
  _write(path, model)
  assert costs.read(path, model, "tflite") == _costs(model)


def test_multiply_adds_are_costs_too():
  model = gated_networks.resnet()
  found = costs.from_macs(model)
  assert found.unit == "MACs" and found.format is None
  assert [block.branch for block in found.blocks] == [*model.macs.branches]
  assert [block.gate for block in found.blocks] == [*model.macs.gates]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda value: value["network"][0].update(macs=1), "another network"),
        (lambda value: value["network"].pop(), "another network"),
        (lambda value: value.update(format="saved_model"), "--format has tfl"),
        (lambda value: value.pop("unit"), "no file of export.measure_costs"),
        (lambda value: value.update(blocks=[1]), r"blocks\[0\] is 1"),
        (lambda value: value.update(network=None), "network is null"),
    ],
)
def test_file_of_something_else_is_refused(change, message, tmp_path):
  model = gated_networks.resnet()
  path = tmp_path / "costs.json"
  _write(path, model)
  value = json.loads(path.read_text())
  change(value)
  path.write_text(json.dumps(value))
  with pytest.raises(ValueError, match=message):
    costs.read(path, model, "tflite")


def test_file_of_a_deeper_network_is_refused(tmp_path):
  path, other = tmp_path / "costs.json", pgates.CifarResNet(14)
  _write(path, other)
  with pytest.raises(ValueError, match="stage1_block1.*--keep_probes"):
    costs.read(path, gated_networks.resnet(), "tflite")


def test_missing_file_is_an_error(tmp_path):
  with pytest.raises(FileNotFoundError, match="measured, macs, or a file"):
    costs.read(tmp_path / "none.json", gated_networks.resnet(), "tflite")
