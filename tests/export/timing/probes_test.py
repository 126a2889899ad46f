"""Tests of `export.timing.probes`."""

import numpy as np
import pytest

from export.timing import block_times
from export.timing import costs
from export.timing import engines
from export.timing import probes
import pgates
from tests.helpers import gated_networks


def test_probe_is_the_block_of_the_network(tmp_path):
  model = gated_networks.resnet(always_open=[1])
  probes.write(model, tmp_path, format="saved_model", batch_size=4)
  block, *_ = pgates.gated_blocks(model)
  images = np.random.default_rng(0).uniform(size=(4, 8, 8, 16))
  images = images.astype(np.float32)
  expected = {
      "ran": block(images, rule="always_open")[0],
      "skipped": block.activation(images),
      "closed": block.activation(images),
  }
  for name, value in expected.items():
    kind = "closed" if name == "closed" else "deciding"
    run = engines.load(
        tmp_path / f"block000_{kind}",
        "saved_model",
        threshold=float(name != "ran"),
    )
    answers = run(images)
    found = next(answer for answer in answers if answer.ndim == 4)
    np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "format", [pytest.param("saved_model", marks=pytest.mark.slow), "tflite"]
)
def test_manifest_says_what_the_files_are_of(tmp_path, format):
  model = gated_networks.resnet(always_open=[1])
  probes.write(model, tmp_path / "new", format=format, batch_size=1)
  manifest = block_times.read_manifest(tmp_path / "new")
  assert manifest == {
      "format": format,
      "batch_size": 1,
      "shapes": [[1, 8, 8, 16], [1, 8, 8, 16], [1, 4, 4, 32]],
      "network": costs.fingerprint(model),
  }
  suffix = ".tflite" if format == "tflite" else ""
  files = {path.name for path in (tmp_path / "new").glob("block*")}
  assert files == {
      f"block{i:03}_{kind}{suffix}"
      for i in (0, 2)
      for kind in ("deciding", "closed")
  }
