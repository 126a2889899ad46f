"""How much a SavedModel weighs over the weights of its network.

    python -m benchmarks.export_sizes benchmarks/results/export_sizes.json

Dynamic gating, random weights. The weights are those of the Keras network, 4
bytes each.
"""

import pathlib
import tempfile

from absl import app
from absl import logging
import tensorflow as tf

from benchmarks import environment
from benchmarks import gated_networks
from export.saved_model import saved_models
from export.saved_model import serving
from file_io import artifacts
import pgates


def networks():
  """Yields `(name, network)`, built when it is its turn."""
  # Of `make demo`.
  yield "CIFAR ResNet-14", pgates.CifarResNet(14, input_shape=(8, 8, 1))
  for depth in (20, 44, 110):
    yield f"CIFAR ResNet-{depth}", pgates.CifarResNet(depth)
  yield "ResNet-50", pgates.ResNet50(1000)


def size(model):
  """Bytes of a network's weights and of its exported folder.

  Args:
    model: a `pgates.GatedModel`; its batch norms are changed.

  Returns:
    `{"blocks", "weights", "folder", "ratio"}`.
  """
  gated_networks.randomize_batch_norms(model)
  with tempfile.TemporaryDirectory() as folder:
    asset = pathlib.Path(folder) / "asset"
    asset.write_text("{}")
    server = serving.Server(model, "map", labels=asset, gates=asset)
    path = pathlib.Path(folder) / "model"
    saved_models.write(server, path, name="network")
    whole = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
  weights = 4 * model.count_params()
  return {
      "blocks": len(pgates.gated_blocks(model)),
      "weights": weights,
      "folder": whole,
      "ratio": whole / weights,
  }


def main(argv):
  if len(argv) != 2:
    raise app.UsageError("Name the JSON to write.")
  logging.set_verbosity(logging.WARNING)  # SavedModels are talkative.
  tf.get_logger().setLevel("WARNING")
  rows = []
  for name, model in networks():
    rows.append({"network": name, **size(model)})
    print(
        "{network:<18}{weights:>12,}{folder:>12,}{ratio:>7.3f}".format_map(
            rows[-1]
        ),
        flush=True,
    )
  result = {**environment.describe(None), "rows": rows}
  artifacts.write_json(argv[1], result)


if __name__ == "__main__":
  app.run(main)
