"""A small network, exported to be served."""

from export.saved_model import saved_models
from export.saved_model import serving
import pgates
from tests.helpers import gated_networks


def network():
  """A randomized CIFAR ResNet-8 of 8 x 8 grey images."""
  return gated_networks.randomize(pgates.CifarResNet(8, input_shape=(8, 8, 1)))


def export(model, folder, name):
  """Exports a network as `export.run` does, but for the assets' content.

  Args:
    model: a `pgates.GatedModel`.
    folder: an empty one.
    name: of the served model.

  Returns:
    The folder of all exports; version 1 of the model is in it.
  """
  (folder / "asset").write_text("{}")
  server = serving.Server(
      model, "map", labels=folder / "asset", gates=folder / "asset"
  )
  exports = folder / "exported"
  exports.mkdir()
  saved_models.write(server, folder / "whole", name=name)
  saved_models.publish(folder / "whole", exports / name)
  saved_models.write_models_config(exports)
  return exports
