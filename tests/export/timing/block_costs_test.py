"""Tests of `export.timing.block_costs`."""

import json

from export.timing import block_costs


def test_json_holds_all_that_a_file_of_costs_says():
  costs = block_costs.Costs(
      (block_costs.BlockCost("a", 20.0, 3.0),),
      unit="us",
      format="tflite",
      batch_size=1,
  )
  network = ({"name": "a", "macs": 5, "gate_macs": 1},)
  found = json.loads(json.dumps(costs.as_json(network, machine="here")))
  assert found == {
      "blocks": [{"name": "a", "branch": 20.0, "gate": 3.0}],
      "unit": "us",
      "format": "tflite",
      "batch_size": 1,
      "network": [*network],
      "machine": "here",
  }
