"""What a network of others becomes before it is trained here, and its gates."""

from collections.abc import Collection

import keras

from pgates import graphs
from pgates.layers import gate_kinds
from pgates.layers import gates as gates_lib
from pgates.layers import normalization
from pgates.residuals import gating
from pgates.training import model as model_lib


def adapted(network: keras.Model, *, synchronized: bool) -> keras.Model:
  """The network with batch norms of ours, and logits in float32.

  Our batch norms average over about ten batches. Keras's keep 0.99 to 0.9997 of
  their statistics at each step, so that after a run of hundreds of steps they
  would still be those of the start.

  Args:
    network: a functional Keras model.
    synchronized: whether batch norms use statistics over all replicas.

  Returns:
    A model of the same layers but for batch norms and the last layer, which
    are copies of the same weights.
  """
  last = network.layers[-1]
  copies = {}

  def replace(layer):
    if id(layer) not in copies:
      copies[id(layer)] = layer, _replaced(layer, layer is last, synchronized)
    return copies[id(layer)][1]

  rebuilt = graphs.rebuild(network, replace=replace)
  for layer, copy in copies.values():
    if copy is not layer:
      copy.set_weights(layer.get_weights())
  return rebuilt


def _replaced(layer, is_last, synchronized):
  if type(layer) is keras.layers.BatchNormalization:
    config = {**layer.get_config(), "synchronized": synchronized}
    del config["momentum"]  # For our default.
    return normalization.BatchNormalization.from_config(config)
  if is_last and not isinstance(layer, keras.Model):
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})
  return layer


def gated(
    model: keras.Model,
    gate: str | type[gates_lib.Gate] | gate_kinds.GateFactory,
    *,
    always_open: Collection[int],
    synchronized: bool,
) -> model_lib.GatedModel:
  """The model with gates on its residual blocks of 2 % and more.

  Args:
    model: a functional Keras model.
    gate: as of `pgates.ResNet50`.
    always_open: indices of blocks that always run and carry no gate.
    synchronized: as of `adapted`.

  Returns:
    A `pgates.GatedModel`, not compiled.

  Raises:
    ValueError: if an argument is out of its range, or there is no such block.
  """

  def gates_of(blocks):
    gates = gate_kinds.make_gates(
        gate,
        len(blocks),
        settings=gates_lib.GateSettings(synchronized=synchronized),
        always_open=always_open,
    )
    names_of = [block.name for block in blocks]
    return dict(zip(names_of, gates, strict=True))

  return gating.gate_blocks(model, gates_of)
